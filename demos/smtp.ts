/**
 * An SMTP receiver: takes mail, and stores it in a maildir or prints it.
 *
 *     npx tsx demos/smtp.ts                                  listens on 127.0.0.1:2525, and prints messages
 *     swaks --server 127.0.0.1:2525 --to you@example.org     sends a message
 *     npx tsx demos/smtp.ts --maildir mail                   stores each in mail/new, and then says 250
 *     npx tsx demos/smtp.ts --tls-self-signed                offers STARTTLS; with --require-tls nothing goes without it
 *     npx tsx demos/smtp.ts --tls-self-signed --implicit-tls serves TLS from the first byte
 *     npx tsx demos/smtp.ts --help                           every limit and deadline
 *
 * What the next frame is depends on the answer to the one before: after a DATA that is accepted, content follows, and not
 * commands. So the decoder asks the session before each frame, and an `exchange` stops the input after each one until it is
 * answered. A message is written to the disk in blocks as it arrives; while the disk is busy, the client has to wait.
 *
 * Ctrl-C (or SIGTERM) drains it: a message whose content has begun is taken to its end and stored, within `--grace`. All other
 * clients get 421, as do those whose deadline passes, and those above `--concurrency` and `--waiting`. A second Ctrl-C aborts
 * the rest.
 *
 * It accepts mail for every recipient, and delivers all of it to the same place. A client that speaks before the banner is
 * tolerated. There is no AUTH.
 */
import { hostname } from 'node:os';
import { logTo, printable, serve, signals } from '../lib/index.ts';
import { converse, refusal } from './smtp/converse.ts';
import { isClientName } from './smtp/mailbox.ts';
import { maildir } from './smtp/maildir.ts';
import { type Printed, printing } from './smtp/printing.ts';
import type { Arriving } from './smtp/store.ts';
import {
  type AddressOptions,
  address,
  administered,
  bytes,
  logger,
  movable,
  numberOption,
  type PortOptions,
  portOptions,
  portSettings,
  program,
  reason,
  type ServerLimits,
  serverLimits,
  serverOptions,
  shown,
  statusLine,
  Traffic,
} from './support/index.ts';

interface Options extends AddressOptions, PortOptions, ServerLimits {
  hostname: string;
  maildir?: string;
  maxSize: number;
  maxRecipients: number;
  maxErrors: number;
  implicitTls?: true;
  requireTls?: true;
  verbose?: true;
}

/** Bytes of each message that are printed. */
const PRINTED = 16 * 1024;
/** How long a server waits for the next command, or for a block of a message. (RFC 5321, 4.5.3.2) */
const PATIENCE = 5 * 60_000;

const command = program('smtp', 'An SMTP receiver that stores mail in a maildir, or prints it.', { port: 2525 });
command
  .option('--hostname <name>', 'name of this server in its replies', hostname())
  .option('--maildir <folder>', 'store messages in this maildir; without it they are printed, and not stored');
numberOption(command, '--max-size <bytes>', 'largest message', {
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  default: 10 * 1024 * 1024,
});
numberOption(command, '--max-recipients <count>', 'recipients of a message', { min: 1, max: 10_000, default: 100 });
numberOption(command, '--max-errors <count>', 'refused commands after which a client is sent away', {
  min: 1,
  max: 1_000_000,
  default: 20,
});
command
  .option('--require-tls', 'accept mail over TLS only')
  .option('--implicit-tls', 'serve TLS from the first byte, instead of offering STARTTLS')
  .option('-v, --verbose', 'log connections that open, too');
serverOptions(command, { greeting: PATIENCE, idle: PATIENCE, frame: PATIENCE, paceGrace: PATIENCE });
portOptions(command);
const options = command.parse().opts<Options>();
const { host, port, verbose, maxSize, maxRecipients, maxErrors, ...more } = options;
const { hostname: name, maildir: folder, implicitTls = false, requireTls = false, ...limits } = more;
if (!isClientName(name)) command.error(`--hostname must be the name of a host, and not '${name}'`);

const traffic = new Traffic();
const status = statusLine();
const log = logger({ status, fields: false, level: verbose ? 'debug' : 'info' });
const reporting = { fail: (sentence: string) => command.error(sentence), log };
const { tls, ...settings } = await portSettings(limits, [host], reporting);
if (tls === undefined && (implicitTls || requireTls)) {
  command.error('--implicit-tls and --require-tls need a certificate: --tls-cert and --tls-key, or --tls-self-signed');
}
const store =
  folder === undefined
    ? printing(print, PRINTED)
    : await maildir(folder, name).catch((error) => command.error(`cannot use ${folder}: ${reason(error)}`));

let isStopping = false;
const shutdown = signals();
// Subscribed until the process exits: npm forwards a Ctrl-C that this process has already received, and the late one must not
// kill it.
shutdown.subscribe(() => {
  isStopping = true;
});

const mail = converse({
  host: name,
  store,
  maxSize,
  maxRecipients,
  maxErrors,
  requireTls,
  startTls: tls !== undefined && !implicitTls,
  isStopping: () => isStopping,
  received,
  failed: (error) => log.error({ type: 'store', err: error }, `a message cannot be stored: ${reason(error)}`),
});
const { farewell, ...others } = serverLimits(limits);
const serving = movable(limits.admin, {
  ...others,
  ...settings,
  ...(tls !== undefined ? { tls, startTls: !implicitTls } : {}),
  farewell: (why: string) => refusal(name, why, limits.farewell),
  shutdown,
});
serve({ host, port }, mail, serving)
  .pipe(administered(limits.admin, serving, reporting), shown(traffic, status, verbose))
  .subscribe({
    ...logTo(log),
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
  });

function received({ id, from, to }: Arriving, size: number): void {
  traffic.requests++;
  if (folder === undefined) return;
  log.info(
    { type: 'message', messageId: id, from, to, size },
    `stored ${bytes(size)} from ${summary(from, to)} as ${id}`,
  );
}

/** In a line of JSON the content is a field; on a terminal it is printed as the text that it is. */
function print({ id, from, to, size, trace, content }: Printed): void {
  log.info(
    { type: 'message', messageId: id, from, to, size, trace, content },
    `received ${bytes(size)} from ${summary(from, to)}`,
  );
  if (status.live) status.print(`${printable((trace + content).replaceAll('\r\n', '\n'))}\n`);
}

function summary(from: string, to: readonly string[]): string {
  return `<${from}> to ${to.map((one) => `<${one}>`).join(', ')}`;
}
