/**
 * A chat for people with `nc`: rooms, names, history; on one machine or on any number of them.
 *
 *     npx tsx demos/chat.ts                                 listens on 127.0.0.1:7001
 *     nc 127.0.0.1 7001                                     connects; type /help
 *     npx tsx demos/chat.ts --port 7002 --nats nats://127.0.0.1:4222 --server-name beta
 *                                                           one chat with all servers on the same NATS
 *     npx tsx demos/chat.ts --help                          lists every limit and deadline
 *
 * Each room is a `broadcast()`: a member that reads too slowly is aborted at `--max-outbound`, and never delays another
 * member. A user who writes too fast is limited to `--rate` lines a second by TCP backpressure.
 *
 * With `--nats` the servers publish to each other what users say and which users are present. A server that is killed
 * publishes nothing; after `--ttl` every other server removes its users. While NATS is unreachable each server is a chat of
 * its own, and notifies its users; once NATS is back the servers are one chat again. Ctrl-C (or SIGTERM) notifies all users
 * and drains.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { finalize, ignoreElements, pipe, skip, tap, timer } from 'rxjs';
import { lines, logTo, monotonic, serve, signals } from '../lib/index.ts';
import { localBus, natsBus } from './chat/bus.ts';
import { openChat } from './chat/chat.ts';
import { converse } from './chat/session.ts';
import { harmless } from './chat/text.ts';
import {
  type AddressOptions,
  address,
  administered,
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
  serverName: string;
  nats?: URL;
  ttl: number;
  history: number;
  maxLine: number;
  rate: number;
  verbose?: true;
}

const command = program('chat', 'Rooms, names and history for people with nc, on any number of servers.', {
  port: 7001,
});
command
  .option('--nats <url>', 'be one chat with all servers of this NATS: nats://[user:password@]host:port', (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url && /^(nats|tls):$/.test(url.protocol) && url.hostname !== '') return url;
    return command.error(`--nats must be like nats://127.0.0.1:4222, and not '${text}'`);
  })
  .option('--server-name <name>', 'name of this server, shown to users', harmless, `${hostname()}-${process.pid}`)
  .option('-v, --verbose', 'log connections that open, too');
numberOption(command, '--ttl <ms>', 'silence after which a server counts as dead', {
  min: 100,
  max: 3_600_000,
  default: 5000,
});
numberOption(command, '--history <lines>', 'shown to a user who joins a room', { min: 0, max: 10_000, default: 20 });
numberOption(command, '--max-line <bytes>', 'longest line, without its newline', {
  min: 1,
  max: 65_536,
  default: 1024,
});
numberOption(command, '--rate <lines>', 'lines a second read from each user', { min: 1, max: 1000, default: 10 });
// Long, because people pause to think, and some only read.
serverOptions(command, { idle: 30 * 60_000, greeting: 5 * 60_000 });
portOptions(command);
const { host, port, nats, serverName, verbose, ttl, history, maxLine, rate, ...limits } = command
  .parse()
  .opts<Options>();

const traffic = new Traffic();
const status = statusLine();
const log = logger({ status, fields: false, level: verbose ? 'debug' : 'info' });
const reporting = { fail: (sentence: string) => command.error(sentence), log };
const settings = await portSettings(limits, [host], reporting);
const warn = (err: unknown) => log.warn({ type: 'bus', err }, `NATS: ${reason(err)}`);

// A random suffix, because each run of the program is a server of its own.
const server = `${serverName}/${randomBytes(6).toString('hex')}`;
const bus = nats
  ? await natsBus(nats, server, warn).catch((error) =>
      command.error(`cannot reach NATS at ${nats.host}: ${reason(error)}`),
    )
  : localBus();
bus.connected
  .pipe(skip(1))
  .subscribe((connected) =>
    log.warn({ type: 'bus', connected }, connected ? 'NATS is connected again' : 'NATS is disconnected, reconnecting'),
  );

const chat = openChat(bus, server, { ttl, history });
const running = chat.run.subscribe();
const shutdown = signals();
// Subscribed until the process exits: npm forwards a Ctrl-C that this process has already received, and the late one must not
// kill it.
shutdown.subscribe(() => {
  chat.closing = true;
});

const talk = converse(chat, {
  decode: pipe(
    lines({ maxLength: maxLine, unterminated: 'emit' }),
    tap(() => traffic.requests++),
  ),
  pause: timer(1000 / rate, monotonic).pipe(ignoreElements()),
});

const options = movable(limits.admin, { ...serverLimits(limits), ...settings, shutdown });
serve({ host, port }, talk, options)
  .pipe(
    administered(limits.admin, options, reporting),
    shown(traffic, status, verbose),
    finalize(() => {
      running.unsubscribe();
      void bus.close();
    }),
  )
  .subscribe({
    ...logTo(log),
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
  });
