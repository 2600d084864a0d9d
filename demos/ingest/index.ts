/**
 * Telemetry that is never lost once it is acknowledged.
 *
 *     node --import tsx demos/ingest/index.ts --windows           stores in ./readings.db, and shows windows
 *     node --import tsx demos/ingest/devices.ts                   500 devices that send readings
 *     echo '{"device":"d1","seq":1,"at":1767225600000,"value":21.5}' | nc -q1 127.0.0.1 7300        ack 1
 *     sqlite3 readings.db 'select * from windows order by id desc limit 5'
 *     node --import tsx demos/ingest/index.ts --nats nats://127.0.0.1:4222         stores in JetStream
 *     node --import tsx demos/ingest/kill.ts --kills 100          kills it 100 times under load, and audits the store
 *
 * A reading is acknowledged when it is stored, and not before. So a device that repeats unacknowledged readings loses none,
 * whatever is killed. No reading is stored twice, because device and seq are the key. Readings of all devices share
 * commits. While the store is slow or unreachable, TCP backpressure blocks the devices, and `wait` lines give the reason.
 *
 * Windows over the stored readings (count, min, mean, max, late) go to a second table, or stream. They are derived data:
 * windows that a kill loses can be computed again from the readings.
 *
 * Ctrl-C drains: readings in progress are stored and acknowledged, then the store is closed.
 */
import { skip } from 'rxjs';
import { logTo, serve, signals } from '../../lib/index.ts';
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
  statusLine,
  Traffic,
} from '../support/index.ts';
import { converse } from './converse.ts';
import { Ingest } from './ingest.ts';
import type { Store } from './stores/store.ts';
import { view } from './view.ts';
import { MOST_SPANS } from './windows.ts';

interface Options extends AddressOptions, PortOptions, ServerLimits {
  db: string;
  nats?: string;
  batch: number;
  gather: number;
  patience: number;
  inFlight: number;
  maxLine: number;
  window: number;
  lateness?: number;
  mostWindows: number;
  windows?: true;
}

const command = program('ingest', 'Telemetry that is never lost once it is acknowledged.', { port: 7300 });
command
  .option('--db <file>', 'SQLite file to store in', 'readings.db')
  .option('--nats <url>', 'store in JetStream instead of SQLite');
const time = (flags: string, what: string, min: number, preset: number) =>
  numberOption(command, flags, what, { min, max: 86_400_000, default: preset });
numberOption(command, '--batch <count>', 'readings in a commit, at most', { min: 1, max: 100_000, default: 500 });
time('--gather <ms>', 'that a reading waits for more', 0, 2);
time('--patience <ms>', 'until a write counts as slow', 1, 1000);
numberOption(command, '--in-flight <count>', 'being stored for a connection', { min: 1, max: 10_000, default: 64 });
numberOption(command, '--max-line <bytes>', 'longest line of a device', { min: 16, max: 65_536, default: 1024 });
time('--window <ms>', 'width of a window', 1, 1000);
numberOption(command, '--lateness <ms>', 'a window stays open (default: its width)', { min: 0, max: 86_400_000 });
numberOption(command, '--most-windows <count>', 'open at once; any more devices share one', {
  min: 1,
  max: 10_000_000,
  default: 100_000,
});
command.option('--windows', 'show windows: a table on a terminal, or lines of JSON');
const options = portOptions(serverOptions(command)).parse().opts<Options>();
const { host, port, db, nats, batch, gather, patience, inFlight, maxLine, ...rest } = options;
const { window, lateness = window, mostWindows, windows, ...limits } = rest;
if (lateness > MOST_SPANS * window) command.error(`--lateness may be ${MOST_SPANS} times --window at most`);

const status = statusLine();
const log = logger({ status, fields: false });
const reporting = { fail: (sentence: string) => command.error(sentence), log };
const settings = await portSettings(limits, [host], reporting);
const shutdown = signals();
// Subscribed until the process exits: npm forwards a Ctrl-C that this process has already received, and the late one must not
// kill it.
shutdown.subscribe();

const store = await open();
const ingest = new Ingest(store, { size: batch, gather, patience, width: window, lateness, most: mostWindows });
ingest.trouble.pipe(skip(1)).subscribe((trouble) => {
  if (trouble === undefined) log.info({ type: 'recovered' }, 'the store can be written again');
  else log.warn({ type: 'trouble', trouble }, `devices have to wait: ${trouble}`);
});
if (windows && !status.live) {
  ingest.windows.subscribe((one) => status.print(`${JSON.stringify({ type: 'window', ...one })}\n`));
}
const traffic = new Traffic();
const shown = view(status, { ingest, traffic, windows: windows === true });
log.info({ type: 'store', store: store.name }, `stores in ${store.name}`);

const events = logTo(log);
const serving = movable(limits.admin, { ...serverLimits(limits), ...settings, shutdown });
serve({ host, port }, converse(ingest, { inFlight, maxLine }), serving)
  .pipe(administered(limits.admin, serving, reporting))
  .subscribe({
    next: (event) => {
      traffic.see(event);
      // On a terminal the view shows their numbers.
      const oneOfMany = event.type === 'opened' || event.type === 'closed' || event.type === 'refused';
      if (!status.live || !oneOfMany) events.next(event);
    },
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
    complete: () => void finish(),
  });

/** Imports only the selected store, so that the package of the other one need not be installed. */
async function open(): Promise<Store> {
  try {
    if (nats === undefined) return await (await import('./stores/sqlite.ts')).SqliteStore.open(db);
    return await (await import('./stores/jetstream.ts')).JetStreamStore.open(nats);
  } catch (error) {
    return command.error(`cannot open the store ${nats ?? db}: ${reason(error)}`);
  }
}

async function finish(): Promise<void> {
  const report = await ingest.close(limits.grace, shutdown);
  shown?.unsubscribe();
  status.clear();
  const { stored, duplicates, unstored, others } = report;
  const together = others === 0 ? '' : `, ${others} in the windows of other devices`;
  log.info(
    { type: 'report', ...report },
    `${stored} stored, ${duplicates} duplicates, ${unstored} unstored${together}`,
  );
}
