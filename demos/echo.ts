/**
 * Echoes lines of text, with every protection on.
 *
 *     npm start                                            listens on 127.0.0.1:7000
 *     printf 'hello\nworld\n' | nc -q1 127.0.0.1 7000      gets both lines back
 *     npm run load                                         keeps it busy, and checks every byte of every reply
 *     npm start -- --concurrency 3 --waiting 2             serves three clients, lets two wait, refuses the rest
 *     npm start -- --per-address 20 --accepts 200 --overflow park     limits an address and the rate; others wait in the kernel
 *     npm start -- --idle 2000 --frame 500                 has short deadlines: try `nc 127.0.0.1 7000`, and send nothing
 *     npm start -- --tls-self-signed                       serves TLS: try `openssl s_client -quiet -connect 127.0.0.1:7000`
 *     npm start -- --admin 7001                            prints the address of a live page, with limits that can be moved
 *     npm start -- --help                                  lists every limit and deadline
 *
 * On a terminal it shows a live status; piped, each event is a line of JSON. Ctrl-C (or SIGTERM) drains it: requests in
 * progress are answered, idle connections are closed at once, and the rest are aborted after `--grace`. A second Ctrl-C
 * aborts them immediately.
 *
 * A last line without its newline is echoed too, as `printf hello | nc` expects. By default the library treats it as an
 * error, because half a command must not be executed; an echo executes nothing.
 */
import { map, tap } from 'rxjs';
import { type Handler, lines, logTo, serve, signals } from '../lib/index.ts';
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
  maxLine: number;
  verbose?: true;
}

const command = program('echo', 'Echoes lines of text, with every protection on.', { port: 7000 });
numberOption(command, '--max-line <bytes>', 'longest line, without its newline', {
  min: 1,
  max: 256 * 1024 * 1024,
  default: 64 * 1024,
}).option('-v, --verbose', 'log connections that open, too');
const { host, port, maxLine, verbose, ...limits } = portOptions(serverOptions(command)).parse().opts<Options>();

const traffic = new Traffic();
const echo: Handler = (connection) =>
  connection.pipe(
    lines({ maxLength: maxLine, unterminated: 'emit' }),
    tap(() => traffic.requests++),
    map((line) => `${line}\n`),
  );

const status = statusLine();
const log = logger({ status, fields: false, level: verbose ? 'debug' : 'info' });
const reporting = { fail: (sentence: string) => command.error(sentence), log };
const settings = await portSettings(limits, [host], reporting);
const shutdown = signals();
// Subscribed until the process exits: npm forwards a Ctrl-C that this process has already received, and the late one must not
// kill it.
shutdown.subscribe();

const options = movable(limits.admin, { ...serverLimits(limits), ...settings, shutdown });
serve({ host, port }, echo, options)
  .pipe(administered(limits.admin, options, reporting), shown(traffic, status, verbose))
  .subscribe({
    ...logTo(log),
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
  });
