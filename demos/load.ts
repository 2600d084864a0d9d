/**
 * Loads a TCP server that echoes lines, and checks every byte of every reply.
 *
 *     npm run load -- --port 7000                    50 connections, 16 requests in flight on each, for 10 s
 *     npm run load -- -c 500 -n 1 -d 30              many connections, one request at a time
 *     npm run load -- --expect-drain                 stop the server meanwhile: a drain may leave requests unanswered, but a
 *                                                    reset is a failure
 *     npm run -s load -- --json | jq .throughput     for scripts
 *
 * It is a closed loop: each connection sends its next request when a reply arrives. Latency is therefore that of a busy
 * server, and includes queueing in the window; for the latency of a quiet server, choose `-n 1`.
 */
import { signals } from '../lib/index.ts';
import { print } from './load/print.ts';
import { progress } from './load/progress.ts';
import { report } from './load/report.ts';
import { Run } from './load/run.ts';
import type { Fault } from './load/tally.ts';
import { SHORTEST_LINE } from './load/window.ts';
import {
  type AddressOptions,
  address,
  bytes,
  logger,
  numberOption,
  program,
  reason,
  statusLine,
} from './support/index.ts';

interface Options extends AddressOptions {
  connections: number;
  inFlight: number;
  duration: number;
  size: number;
  grace: number;
  expectDrain?: true;
  json?: true;
}

const command = program('load', 'Loads a TCP server that echoes lines, and checks every byte of every reply.', {
  port: 7000,
  connects: true,
});
numberOption(command, '-c, --connections <count>', 'connections to open', { min: 1, max: 65_000, default: 50 });
numberOption(command, '-n, --in-flight <count>', 'requests in flight on each', { min: 1, max: 4096, default: 16 });
numberOption(command, '-d, --duration <seconds>', 'how long to send', {
  min: 0.1,
  max: 3600,
  default: 10,
  whole: false,
});
numberOption(command, '--size <bytes>', 'length of a line, newline included', {
  min: SHORTEST_LINE,
  max: 1024 * 1024,
  default: 64,
});
numberOption(command, '--grace <seconds>', 'how long to wait for the last replies', {
  min: 0,
  max: 600,
  default: 5,
  whole: false,
});
command
  .option('--expect-drain', 'a request left unanswered at the FIN of the server is no failure')
  .option('--json', 'print the report as one JSON object, and nothing else')
  .addHelpText(
    'after',
    '\nExits with 1 if a reply was wrong, lost or unanswered, if a connection was\nreset, or if none could be opened.',
  )
  .parse();

/** Limit for all requests in flight together, in bytes. They are kept in memory, because replies are compared with them. */
const MOST_IN_FLIGHT = 1024 ** 3;

const options = command.opts<Options>();
const inFlight = options.connections * options.inFlight * options.size;
if (inFlight > MOST_IN_FLIGHT) {
  command.error(`requests in flight would take ${bytes(inFlight)}, but at most ${bytes(MOST_IN_FLIGHT)} is allowed`);
}
const status = statusLine();
const log = logger({ status, level: options.json ? 'silent' : 'info' });

const run = new Run({ ...options, duration: options.duration * 1000, grace: options.grace * 1000 });
run.tally.onFault = logFault;
// Subscribed until the process exits: a second Ctrl-C must not kill it before it prints the report.
signals().subscribe(() => run.stop());

const shown = options.json ? undefined : progress(run, status, log);
await run.finish();
shown?.unsubscribe();
status.clear();

if (run.connected === 0) command.error(nothingConnected());
const result = report(run, options.expectDrain === true);
process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : print(result, run.tally.latency));
process.exitCode = result.failures.length > 0 ? 1 : 0;

/** Logs the first five wrong lines, each from the byte where it differs. The rest are only counted. */
function logFault({ connection, due, expected, received }: Fault): void {
  const seen = run.tally.wrong + run.tally.unexpected;
  if (seen > 5) return;
  if (seen === 5) {
    log.warn('more wrong replies, not shown');
  } else if (expected === undefined) {
    log.warn({ received: excerpt(received, 0) }, `connection ${connection}: a line that answers no request`);
  } else {
    const at = [...expected].findIndex((byte, i) => byte !== received[i]);
    const around = { expected: excerpt(expected, at), received: excerpt(received, at) };
    log.warn(around, `connection ${connection}, reply ${due}: wrong from byte ${at}`);
  }
}

function excerpt(line: string, at: number): string {
  const from = Math.max(0, at - 8);
  return `${from > 0 ? '…' : ''}${line.slice(from, at + 9)}${line.length > at + 9 ? '…' : ''}`;
}

function nothingConnected(): string {
  const where = `cannot connect to ${address(options.host, options.port)}`;
  const [code] = [...run.tally.refused].sort(([, a], [, b]) => b - a)[0] ?? [];
  return code === undefined ? `${where}: stopped before that` : `${where}: ${reason(code)}`;
}
