/**
 * Kills the ingest server again and again under the load of many devices, then checks that no acknowledged reading is lost.
 *
 *     node --import tsx demos/ingest/kill.ts                                      20 kills under 500 devices
 *     node --import tsx demos/ingest/kill.ts --kills 500 --shortest 0 --longest 3000
 *     node --import tsx demos/ingest/kill.ts --nats nats://127.0.0.1:4222         the same with JetStream
 *     node --import tsx demos/ingest/kill.ts --keep /var/tmp/kills                keeps the store and the list there
 *
 * It sends SIGKILL, which a process cannot handle, a random time after the server is ready. In the end the devices wait until
 * every reading is acknowledged, the server is drained, and each acknowledged reading is looked up in the store. Exits with 1
 * if a reading is missing, is stored twice, or differs from what was sent.
 *
 * With `--nats` it adds to the streams READINGS and WINDOWS, so start with a NATS server that has none.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { signals } from '../../lib/index.ts';
import { count, duration, numberOption, program, reason, statusLine } from '../support/index.ts';
import { type Audit, audit, readAcked, readJetStream, readSqlite } from './audit.ts';
import type { DevicesReport } from './devices.ts';

interface Options {
  kills: number;
  devices: number;
  every: number;
  shortest: number;
  longest: number;
  grace: number;
  nats?: string;
  keep?: string;
  json?: true;
}

/** The report that `--json` prints. */
export interface KillReport extends Audit {
  readonly kills: number;
  readonly devices: DevicesReport;
  /** Milliseconds. */
  readonly duration: number;
}

const command = program('kill', 'Kills the ingest server under load, and looks up each reading that it acknowledged.');
numberOption(command, '--kills <count>', 'number of kills', { min: 0, max: 1_000_000, default: 20 });
numberOption(command, '--devices <count>', 'number of devices', { min: 1, max: 50_000, default: 500 });
numberOption(command, '--every <ms>', 'time between two readings of a device', { min: 1, max: 60_000, default: 200 });
numberOption(command, '--shortest <ms>', 'shortest life of a server', { min: 0, max: 600_000, default: 100 });
numberOption(command, '--longest <ms>', 'longest life of a server', { min: 0, max: 600_000, default: 2000 });
numberOption(command, '--grace <seconds>', 'for the last acknowledgements', { min: 1, max: 3600, default: 30 });
command
  .option('--nats <url>', 'store in JetStream')
  .option('--keep <folder>', 'keep the store and the list of acknowledged readings there')
  .option('--json', 'print the report as one JSON object')
  .parse();
const { host, port: wanted, kills, ...options } = command.opts<Options & { host: string; port: number }>();

const folder = options.keep ?? mkdtempSync(join(tmpdir(), 'ingest-'));
mkdirSync(folder, { recursive: true });
const database = join(folder, 'readings.db');
const acked = join(folder, 'acked.csv');
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  if (options.keep === undefined) rmSync(folder, { recursive: true, force: true });
});
signals().subscribe(() => process.exit(130));

const status = statusLine();
const began = performance.now();
try {
  const report = await run();
  status.clear();
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : print(report));
  process.exitCode = report.lost + report.twice + report.changed + report.devices.unacknowledged > 0 ? 1 : 0;
} catch (error) {
  status.clear();
  command.error(reason(error));
}

async function run(): Promise<KillReport> {
  let server = await start(wanted);
  const { port } = server;
  const devices = script('devices', [
    ...['--host', host, '--port', String(port), '--devices', String(options.devices)],
    ...['--every', String(options.every), '--grace', String(options.grace)],
    ...['--backoff', '500', '--acked', acked, '--json'],
  ]);
  const output = text(devices);

  for (let kill = 1; kill <= kills; kill++) {
    const { shortest, longest } = options;
    await pause(shortest + Math.random() * Math.max(longest - shortest, 0));
    server.process.kill('SIGKILL');
    await once(server.process, 'close');
    status.show(`  killed ${count(kill)} times of ${count(kills)}, ${duration(performance.now() - began)}`);
    server = await start(port);
  }
  await pause(options.shortest);
  devices.kill('SIGINT');
  const report = JSON.parse(await output) as DevicesReport;
  server.process.kill('SIGTERM');
  const [code] = await once(server.process, 'close');
  if (code !== 0) throw new Error(`the server did not drain: it ended with ${code}`);
  const stored = options.nats === undefined ? readSqlite(database) : readJetStream(options.nats);
  return { ...(await audit(readAcked(acked), stored)), kills, devices: report, duration: performance.now() - began };
}

/** Starts a server, and waits until it listens. */
async function start(port: number): Promise<{ process: ChildProcess; port: number }> {
  const store = options.nats === undefined ? ['--db', database] : ['--nats', options.nats];
  // After a kill all devices reconnect at once, so there must be a slot for each.
  const places = String(options.devices + 100);
  const room = ['--concurrency', places, '--per-address', places];
  const child = script('index', ['--host', host, '--port', String(port), ...room, ...store]);
  if (child.stdout === null) throw new Error('the server has no standard output');
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (!line.includes('"type":"listening"')) return;
      const event = JSON.parse(line) as { address: { port: number } };
      resolve({ process: child, port: event.address.port });
    });
    child.once('close', (code) => reject(new Error(`the server ended before it listened (${code})`)));
  });
}

function script(name: string, args: readonly string[]): ChildProcess {
  const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

async function text(child: ChildProcess): Promise<string> {
  let all = '';
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    all += piece;
  });
  await once(child, 'close');
  return all;
}

function print({ acknowledged, stored, lost, twice, changed, devices, duration: ms }: KillReport): string {
  const good = lost + twice + changed === 0;
  return (
    `${good ? 'Nothing was lost' : 'FAILED'}: ${count(kills)} kills in ${duration(ms)}, ${count(acknowledged)} readings acknowledged, ` +
    `${count(stored)} stored, ${count(lost)} lost, ${count(twice)} twice, ${count(changed)} changed; ` +
    `${count(devices.resent)} were sent again, over ${count(devices.connects)} connections\n`
  );
}
