/**
 * Many devices for the ingest demo: each measures, sends, and keeps its readings until they are acknowledged.
 *
 *     node --import tsx demos/ingest/devices.ts                                500 devices, two readings a second each
 *     node --import tsx demos/ingest/devices.ts --devices 5 --every 100 --duration 10
 *     node --import tsx demos/ingest/devices.ts --acked acked.csv              each acknowledged reading: device,seq,at,value
 *
 * Stop the server, kill it, start it again: the devices reconnect, and send all readings after the last acknowledgement again.
 * After `--duration`, or at Ctrl-C, they stop measuring and wait until every reading is acknowledged. Then they print a report.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { filter, firstValueFrom, interval, map, NEVER, race, startWith, timer } from 'rxjs';
import { signals } from '../../lib/index.ts';
import {
  type AddressOptions,
  count,
  duration,
  numberOption,
  oneLine,
  paint,
  program,
  rate,
  reason,
  statusLine,
} from '../support/index.ts';
import { Device, type DeviceTally } from './device.ts';

interface Options extends AddressOptions {
  devices: number;
  every: number;
  window: number;
  backoff: number;
  duration?: number;
  grace: number;
  prefix: string;
  acked?: string;
  json?: true;
}

/** The report of the devices. */
export interface DevicesReport {
  readonly devices: number;
  readonly sent: number;
  /** Readings among `sent` that had been sent before. */
  readonly resent: number;
  readonly acknowledged: number;
  /** Readings that were measured, and not acknowledged. */
  readonly unacknowledged: number;
  readonly connects: number;
  readonly waits: number;
  /** Lines from the server that are not part of the protocol, or out of order. */
  readonly unexpected: number;
}

const command = program('devices', 'Many devices that send readings until they are acknowledged.', {
  port: 7300,
  connects: true,
});
numberOption(command, '--devices <count>', 'number of devices', { min: 1, max: 50_000, default: 500 });
numberOption(command, '--every <ms>', 'time between two readings of a device', {
  min: 1,
  max: 86_400_000,
  default: 500,
});
numberOption(command, '--window <count>', 'unacknowledged readings of a device', { min: 1, max: 10_000, default: 64 });
numberOption(command, '--backoff <ms>', 'longest pause between two attempts', { min: 1, max: 600_000, default: 5000 });
numberOption(command, '--duration <seconds>', 'how long to measure', { min: 0.1, max: 86_400, whole: false });
numberOption(command, '--grace <seconds>', 'how long to wait for the rest', {
  min: 0,
  max: 3600,
  default: 10,
  whole: false,
});
command
  .option('--prefix <name>', 'prefix of the names', 'd')
  .option('--acked <file>', 'write each acknowledged reading to a file')
  .option('--json', 'print the report as one JSON object')
  .addHelpText('after', '\nExits with 1 if a reading was not acknowledged, or a line of the server was not expected.');
const options = command.parse().opts<Options>();

const status = statusLine();
const file = openAcked();
let acknowledged = 0;
let unexpected = 0;
let unwritten: string[] = [];
const tally: DeviceTally = {
  sent: 0,
  resent: 0,
  connects: 0,
  waits: 0,
  acknowledged({ device, seq, at, value }) {
    acknowledged++;
    if (file !== undefined) unwritten.push(`${device},${seq},${at},${value}\n`);
  },
  unexpected(device, line) {
    if (unexpected++ < 5) process.stderr.write(`devices: ${device} received an unexpected line: ${oneLine(line)}\n`);
  },
};
const devices = Array.from({ length: options.devices }, (_, i) => {
  return new Device(`${options.prefix}${i + 1}`, options, tally);
});
const kept = (): number => devices.reduce((sum, device) => sum + device.kept, 0);

const interrupt = signals();
let asked = 0;
interrupt.subscribe(() => asked++);
let before = 0;
const watching = timer(0, 250).subscribe(() => {
  flush();
  const speed = rate(acknowledged - before, 250);
  before = acknowledged;
  status.show(
    `  ${paint('bold', count(devices.length))} devices   ${paint('bold', speed)} acknowledged   ${count(acknowledged)} in all\n` +
      `  ${count(kept())} kept   ${count(tally.resent)} sent again   ${count(tally.connects)} connects   ${count(tally.waits)} waits`,
  );
});

for (const device of devices) device.start();
const began = performance.now();
await firstValueFrom(race(interrupt, options.duration === undefined ? NEVER : timer(options.duration * 1000)));
const enough = asked + 1;
for (const device of devices) device.rest();
const allAcknowledged = interval(20).pipe(
  startWith(0),
  map(kept),
  filter((n) => n === 0),
);
const interrupted = interval(20).pipe(filter(() => asked > enough));
await firstValueFrom(race(allAcknowledged, interrupted, timer(options.grace * 1000)));
for (const device of devices) device.stop();
watching.unsubscribe();
flush();
if (file !== undefined) closeSync(file);
status.clear();

const { sent, resent, connects, waits } = tally;
const report: DevicesReport = {
  devices: devices.length,
  sent,
  resent,
  acknowledged,
  unacknowledged: kept(),
  connects,
  waits,
  unexpected: unexpected,
};
if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
else
  process.stdout.write(
    `${count(acknowledged)} readings of ${count(devices.length)} devices acknowledged in ${duration(performance.now() - began)}, ` +
      `${count(report.unacknowledged)} not\n${count(sent)} sent, ${count(resent)} of them again; ` +
      `${count(connects)} connects; ${count(waits)} wait lines received\n`,
  );
process.exitCode = report.unacknowledged > 0 || unexpected > 0 ? 1 : 0;

function openAcked(): number | undefined {
  if (options.acked === undefined) return undefined;
  try {
    return openSync(options.acked, 'w');
  } catch (error) {
    return command.error(`cannot write ${options.acked}: ${reason(error)}`);
  }
}

function flush(): void {
  if (file !== undefined && unwritten.length > 0) writeSync(file, unwritten.join(''));
  unwritten = [];
}
