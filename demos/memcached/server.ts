/**
 * A memcached: the text protocol with its meta commands, and the binary one, behind memcached's own flags.
 *
 *     npx tsx demos/memcached/server.ts                            listens on port 11211 of every address
 *     printf 'set k 0 0 2\r\nhi\r\nget k\r\n' | nc -q1 127.0.0.1 11211
 *     npx tsx demos/memcached/server.ts -l 127.0.0.1 -c 2 -o idle_timeout=5 -v
 *                                                                  serves two at once, and closes silent connections
 *     npx tsx demos/memcached/server.ts --help                     every flag
 *     memccapable -h 127.0.0.1                                     tests it as it tests the original; it flushes all
 *     memcaslap -s 127.0.0.1:11211 -T 2 -c 16 -t 5s                keeps it busy
 *
 * What the original calls maxconns, idle timeout and graceful shutdown are the library's limit, its deadline and its drain.
 * Ctrl-C, SIGTERM or the command `shutdown` starts the drain: every executed request is answered, and a connection whose peer
 * does not read its replies is aborted after ten seconds. A second signal aborts at once.
 */
import { merge, Subject, tap } from 'rxjs';
import {
  exchange,
  type Handler,
  logTo,
  type RefusalReason,
  type ServerEvent,
  serve,
  signals,
  type Where,
} from '../../lib/index.ts';
import {
  address,
  administered,
  logger,
  movable,
  oneLine,
  portSettings,
  reason,
  shown,
  statusLine,
  Traffic,
} from '../support/index.ts';
import type { Cache } from './cache.ts';
import { answer } from './commands.ts';
import { ConnectionStats } from './connection-stats.ts';
import { readOptions, type Settings, UsageError } from './options.ts';
import { alsoAt } from './ports.ts';
import { requests } from './protocol.ts';
import { clearPath } from './socket-path.ts';
import { Store } from './store.ts';
import { USAGE } from './usage.ts';

/** The version of memcached that this server imitates: clients compare its numbers, and some accept nothing else. */
const VERSION = '1.6.18';

/** How long a request may take from its first byte to its last, in milliseconds. The original has no such limit. */
const REQUEST_TIME = 60_000;

/** The events of single connections. They are logged only with `-v`. */
const CONNECTION_EVENTS: readonly ServerEvent['type'][] = ['opened', 'closed', 'refused'];

async function run(settings: Settings): Promise<void> {
  const { maxConnections, maxItem, backlog, idleTimeout, path } = settings;
  const status = statusLine();
  const log = logger({ status, fields: false });
  let verbosity = settings.verbosity;
  const setVerbosity = (level: number) => {
    verbosity = level;
    log.level = level > 1 ? 'debug' : 'info';
  };
  setVerbosity(verbosity);
  if (settings.ignored.length > 0) log.warn(`ignored, because it has no effect here: ${settings.ignored.join(', ')}`);

  const hosts = settings.listen.map(({ host = '' }) => host);
  const port = await portSettings(settings.portOptions, hosts, { fail: refuse, log });

  const traffic = new Traffic();
  const connectionStats = new ConnectionStats(maxConnections, traffic);
  const shutdownCommand = new Subject<void>();
  const cache: Cache = {
    store: new Store(settings.memory, { maxItem, evictions: settings.evictions }),
    version: VERSION,
    host: {
      stats: () => connectionStats.stats(),
      connections: () => connectionStats.connections(),
      *settings() {
        yield ['maxconns', maxConnections];
        yield ['tcpport', connectionStats.port];
        yield ['inter', path ?? settings.listen.map(({ host = '*' }) => host).join(',')];
        yield ['verbosity', verbosity];
        yield ['idle_timeout', idleTimeout === Number.POSITIVE_INFINITY ? 0 : idleTimeout / 1000];
        yield ['tcp_backlog', backlog];
        yield ['maxconns_fast', settings.overflow === 'refuse' ? 'yes' : 'no'];
      },
      resetStats: () => connectionStats.reset(),
      shutdown: settings.shutdown ? () => shutdownCommand.next() : undefined,
      setVerbosity,
      flushing: settings.flushing,
    },
  };

  const decode = requests({ maxItem });
  const handler: Handler = (connection) => {
    const activity = connectionStats.add(connection);
    return exchange(decode, (request) => {
      traffic.requests += 1;
      activity.lastRequestAt = Date.now();
      activity.busy = true;
      const reply = answer(cache, request);
      activity.busy = false;
      // Several pieces are pulled one by one, as there is room for them.
      return reply.length > 1 ? reply : reply[0];
    })(connection);
  };

  const wheres: Where[] = path === undefined ? settings.listen.map(tcp) : [{ path }];
  const [first = { port: 0 }, ...others] = wheres;
  const logging = logTo(log);
  const shutdown = signals();
  // Stays subscribed to the very end: npm forwards a Ctrl-C that this process has already received, and it must not kill it.
  shutdown.subscribe();

  const options = movable(settings.portOptions.admin, {
    stall: 10_000,
    concurrency: maxConnections,
    waiting: { max: settings.overflow === 'refuse' ? 0 : backlog, timeout: Number.POSITIVE_INFINITY },
    farewell,
    idle: idleTimeout,
    // Clients keep spare connections, and send nothing on them.
    greeting: Number.POSITIVE_INFINITY,
    frame: REQUEST_TIME,
    // An item may be larger than any limit. At most the rest of one reply is unsent, and its data are in the store anyway.
    maxOutbound: Number.POSITIVE_INFINITY,
    backlog,
    transport: alsoAt(others, (at) => {
      connectionStats.addAddress(at);
      log.info(`also listening on ${address(at.address ?? '', at.port ?? 0)}`);
    }),
    shutdown: merge(shutdown, shutdownCommand),
    ...port,
  });
  serve(first, handler, options)
    .pipe(
      administered(settings.portOptions.admin, options, { fail: end, log }),
      tap((event) => connectionStats.observe(event)),
      shown(traffic, status, settings.verbosity > 1, {
        reports: ({ type }) => verbosity > 0 || !CONNECTION_EVENTS.includes(type),
      }),
    )
    .subscribe({
      next: logging.next,
      error: (error) => fail(`cannot listen on ${wheres.map(named).join(', ')}: ${reason(error)}`),
      complete: () => {
        // On a terminal the report contains this.
        if (!status.live) log.info({ requests: traffic.requests }, `answered ${traffic.requests} requests in all`);
      },
    });
}

/** The error that a refused client is sent. */
function farewell(reason: RefusalReason): string {
  switch (reason) {
    case 'budget':
      return 'SERVER_ERROR connections use more memory than allowed\r\n';
    case 'draining':
      return 'SERVER_ERROR the server is shutting down\r\n';
    default:
      return 'ERROR Too many open connections\r\n';
  }
}

function tcp({ host, port }: Settings['listen'][number]): Where {
  return host === undefined ? { port } : { port, host };
}

function named(where: Where): string {
  if ('path' in where) return where.path;
  return 'port' in where ? address(where.host ?? '*', where.port) : '';
}

function refuse(sentence: string): never {
  throw new UsageError(sentence);
}

function end(sentence: string): never {
  fail(sentence);
  process.exit();
}

function fail(sentence: string): void {
  console.error(`memcached: ${oneLine(sentence)}`);
  process.exitCode = 1;
}

try {
  const settings = readOptions(process.argv.slice(2));
  if (settings.show === 'help') console.log(`memcached ${VERSION}: a cache in memory, served by Sluice\n\n${USAGE}`);
  else if (settings.show === 'version') console.log(`memcached ${VERSION}`);
  else {
    if (settings.path !== undefined) await clearPath(settings.path);
    await run(settings);
  }
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  fail(error.message);
}
