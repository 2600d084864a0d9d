/**
 * A key-value server that speaks the Redis protocol.
 *
 *     npx tsx demos/redis/server.ts                          listens on 127.0.0.1:6379
 *     redis-cli                                              connects to it, as does every client of Redis
 *     redis-benchmark -q -P 16 -t set,get                    keeps it busy
 *     npx tsx demos/redis/server.ts --append data.aof        keeps all changes over a restart, or a kill
 *     npx tsx demos/redis/server.ts --maxclients 2           refuses a third client with an error
 *     npx tsx demos/redis/server.ts --help                   every limit
 *
 * It limits the number of clients, the size of a request, the time from the first byte of a request to its last, the unsent
 * bytes of a slow subscriber, and the memory of all clients together. Replies are produced only as fast as the client reads
 * them. As in Redis, a client may be silent forever, unless `--timeout` is given. There are no passwords: use it on the
 * loopback interface, and on networks that you trust.
 *
 * Ctrl-C (or SIGTERM) drains it: received requests are answered, connections are closed, the log is closed, and a report is
 * printed. A second Ctrl-C aborts the connections that are left.
 */
import { finalize, interval, tap } from 'rxjs';
import { logTo, type ServerEvent, signals } from '../../lib/index.ts';
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
  shown,
  statusLine,
  Traffic,
} from '../support/index.ts';
import { LogCorruptError, openLog } from './append/open.ts';
import { Database } from './database.ts';
import { serveRedis } from './serveRedis.ts';

interface Options extends AddressOptions, PortOptions {
  maxclients: number;
  append?: string;
  timeout: number;
  maxBulk: number;
  frame: number;
  pubsubHard: number;
  pubsubSoft: number;
  pubsubSeconds: number;
  maxReply: number;
  held?: number;
  budget?: number;
  grace: number;
}

const command = program('redis', 'A key-value server that speaks the Redis protocol.', { port: 6379 });
const much = Number.MAX_SAFE_INTEGER;
const megabyte = 1024 * 1024;
const add = (flags: string, description: string, min: number, preset: number, max = much): void => {
  numberOption(command, flags, description, { min, max, default: preset });
};
add('--maxclients <count>', 'clients at once; a further client is refused', 1, 10_000);
command.option('--append <file>', 'log every change to this file, and replay the file at the start');
add('--timeout <seconds>', 'silence after which a client without subscriptions is closed, 0 for never', 0, 0);
// V8's longest string is slightly shorter than 512 MiB.
add('--max-bulk <bytes>', 'longest key or value', 1, 64 * megabyte, 511 * megabyte);
add('--frame <ms>', 'time for a request, from its first byte to its last', 1, 60_000);
add('--pubsub-hard <bytes>', 'unsent bytes above which a subscriber is disconnected', 0, 32 * megabyte);
add('--pubsub-soft <bytes>', 'unsent bytes that a subscriber may exceed for --pubsub-seconds', 0, 8 * megabyte);
add('--pubsub-seconds <seconds>', 'how long a subscriber may exceed --pubsub-soft', 0, 60);
add('--max-reply <bytes>', 'longest reply of a command that only reads, and of a transaction', 1, 1024 * megabyte);
numberOption(
  command,
  '--held <bytes>',
  'for what all clients queue, watch and subscribe to (default: half the budget)',
  {
    min: 0,
    max: much,
  },
);
numberOption(
  command,
  '--budget <bytes>',
  'for the buffers of all clients (default: a quarter of the heap, or of what a cgroup leaves)',
  {
    min: 1,
    max: much,
  },
);
add('--grace <ms>', 'time for clients to finish when the server drains', 0, 10_000);
portOptions(command);

const options = command.parse().opts<Options>();
const { host, port, maxclients, append, timeout, maxBulk, pubsubHard, pubsubSoft, pubsubSeconds } = options;
const { frame, budget, grace, maxReply } = options;
const held = options.held ?? (budget === undefined ? undefined : Math.floor(budget / 2));

const status = statusLine();
const log = logger({ status, fields: false });
const reporting = { fail: (sentence: string) => command.error(sentence), log };
const settings = await portSettings(options, [host], reporting);
const db = new Database({
  config: {
    port: String(port),
    bind: host,
    databases: '1',
    maxclients: String(maxclients),
    timeout: String(timeout),
    maxmemory: '0',
    save: '',
    appendonly: append === undefined ? 'no' : 'yes',
    appendfsync: 'everysec',
    'proto-max-bulk-len': String(maxBulk),
    'client-output-buffer-limit': `normal 0 0 0 slave 0 0 0 pubsub ${pubsubHard} ${pubsubSoft} ${pubsubSeconds}`,
  },
  limits: {
    timeout: timeout === 0 ? Number.POSITIVE_INFINITY : timeout * 1000,
    hard: unlessZero(pubsubHard),
    soft: unlessZero(pubsubSoft),
    softTime: pubsubSeconds * 1000,
    reply: maxReply,
    ...(held === undefined ? {} : { held }),
  },
});
if (append !== undefined) replay(append);

const traffic = new Traffic();
const count = (): void => {
  traffic.requests = db.stats.commands;
};
const counting = interval(100).subscribe(count);
const shutdown = signals();
// Stays subscribed to the very end: otherwise a second Ctrl-C would kill the process while it drains.
shutdown.subscribe();

const limits = movable(options.admin, { concurrency: maxclients, frame, shutdown });
serveRedis({ host, port }, db, {
  maxClients: limits.concurrency,
  maxBulk,
  frame: limits.frame,
  grace,
  shutdown: limits.shutdown,
  ...settings,
  ...(budget === undefined ? {} : { budget }),
})
  .pipe(
    tap({ complete: count }),
    finalize(() => {
      counting.unsubscribe();
      db.log?.close();
    }),
    administered(options.admin, limits, reporting),
    shown(traffic, status, false, { reports: isLogged }),
  )
  .subscribe({
    ...logTo(log),
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
  });

function replay(path: string): void {
  try {
    openLog(path, db, { warn: (message) => log.warn(message) });
  } catch (error) {
    if (error instanceof LogCorruptError) command.error(error.message);
    command.error(`cannot open ${path}: ${reason(error)}`);
  }
  log.info({ keys: db.store.size }, `replayed ${path}: ${db.store.size} keys`);
}

/** As in the settings of Redis, 0 means no limit. */
function unlessZero(limit: number): number {
  return limit === 0 ? Number.POSITIVE_INFINITY : limit;
}

/** Which events are logged. There may be thousands of connects and closes; INFO counts them. An aborted client is logged. */
function isLogged(event: ServerEvent): boolean {
  if (event.type === 'opened' || event.type === 'refused') return false;
  if (event.type !== 'closed') return true;
  return event.detail !== undefined || !['ended', 'completed', 'drained', 'reset'].includes(event.reason);
}
