/**
 * A memcached: the text protocol with its meta commands, and the binary one, behind memcached's own flags.
 *
 *     npx tsx demos/memcached/server.ts                            listens on port 11211 of every address
 *     printf 'set k 0 0 2\r\nhi\r\nget k\r\n' | nc -q1 127.0.0.1 11211
 *     npx tsx demos/memcached/server.ts -l 127.0.0.1 -c 2 -o idle_timeout=5 -v
 *                                                                  serves two at once, and nobody who says nothing
 *     npx tsx demos/memcached/server.ts --help                     every flag
 *     memccapable -h 127.0.0.1                                     tests it as it tests the original; it flushes all
 *     memcaslap -s 127.0.0.1:11211 -T 2 -c 16 -t 5s                keeps it busy
 *
 * What the original calls maxconns, idle timeout and graceful shutdown are the library's limit, its deadline and its
 * drain. Ctrl-C, SIGTERM or the command `shutdown` drains: what has been executed is answered, and after ten seconds
 * whoever does not take his answers is broken off; a second signal does that at once.
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
import { address, logger, oneLine, reason, shown, statusLine, Traffic } from '../support/index.ts';
import type { Cache } from './cache.ts';
import { Census } from './census.ts';
import { answer } from './commands.ts';
import { readOptions, type Settings, UsageError } from './options.ts';
import { alsoAt } from './ports.ts';
import { requests } from './protocol.ts';
import { clearPath } from './socket-path.ts';
import { Store } from './store.ts';
import { USAGE } from './usage.ts';

/** Of the memcached that this one is like: clients compare its numbers, and some understand nothing else. */
const VERSION = '1.6.18';

/** How long a request that has begun may take to come in whole, in milliseconds. The original waits for ever. */
const REQUEST_TIME = 60_000;

/** What is said of each single connection. Without `-v` it is not. */
const SMALL_TALK: readonly ServerEvent['type'][] = ['opened', 'closed', 'refused'];

function run(settings: Settings): void {
  const { maxConnections, maxItem, backlog, idleTimeout, path } = settings;
  const status = statusLine();
  const log = logger({ status, fields: false });
  let verbosity = settings.verbosity;
  const setVerbosity = (level: number) => {
    verbosity = level;
    log.level = level > 1 ? 'debug' : 'info';
  };
  setVerbosity(verbosity);
  if (settings.ignored.length > 0) log.warn(`ignored, as it changes nothing here: ${settings.ignored.join(', ')}`);

  const traffic = new Traffic();
  const census = new Census(maxConnections, traffic);
  const asked = new Subject<void>();
  const cache: Cache = {
    store: new Store(settings.memory, { maxItem, evictions: settings.evictions }),
    version: VERSION,
    host: {
      stats: () => census.stats(),
      connections: () => census.connections(),
      *settings() {
        yield ['maxconns', maxConnections];
        yield ['tcpport', census.port];
        yield ['inter', path ?? settings.listen.map(({ host = '*' }) => host).join(',')];
        yield ['verbosity', verbosity];
        yield ['idle_timeout', idleTimeout === Number.POSITIVE_INFINITY ? 0 : idleTimeout / 1000];
        yield ['tcp_backlog', backlog];
        yield ['maxconns_fast', settings.overflow === 'refuse' ? 'yes' : 'no'];
      },
      resetStats: () => census.reset(),
      shutdown: settings.shutdown ? () => asked.next() : undefined,
      setVerbosity,
      flushing: settings.flushing,
    },
  };

  const decode = requests({ maxItem });
  const handler: Handler = (connection) => {
    const talk = census.talk(connection);
    return exchange(decode, (request) => {
      traffic.requests += 1;
      talk.asked = Date.now();
      talk.busy = true;
      const reply = answer(cache, request);
      talk.busy = false;
      // A reply of several pieces is asked for one by one, as there is room for them.
      return reply.length > 1 ? reply : reply[0];
    })(connection);
  };

  const wheres: Where[] = path === undefined ? settings.listen.map(tcp) : [{ path }];
  const [first = { port: 0 }, ...others] = wheres;
  const tell = logTo(log);
  const shutdown = signals();
  // To the very end: npm passes a Ctrl-C on that this process had already, and the late one must not kill it.
  shutdown.subscribe();

  serve(first, handler, {
    stall: 10_000,
    concurrency: maxConnections,
    waiting: { max: settings.overflow === 'refuse' ? 0 : backlog, timeout: Number.POSITIVE_INFINITY },
    farewell,
    idle: idleTimeout,
    // Clients keep connections in reserve, and say nothing on them.
    greeting: Number.POSITIVE_INFINITY,
    frame: REQUEST_TIME,
    // An item may be larger than any limit. There is never more than the rest of one reply, and that lies in the store.
    maxOutbound: Number.POSITIVE_INFINITY,
    backlog,
    transport: alsoAt(others, (at) => {
      census.alsoAt(at);
      log.info(`also listening on ${address(at.address ?? '', at.port ?? 0)}`);
    }),
    shutdown: merge(shutdown, asked),
  })
    .pipe(
      tap((event) => census.see(event)),
      shown(traffic, status, settings.verbosity > 1, {
        tells: ({ type }) => verbosity > 0 || !SMALL_TALK.includes(type),
      }),
    )
    .subscribe({
      next: tell.next,
      error: (error) => fail(`cannot listen on ${wheres.map(named).join(', ')}: ${reason(error)}`),
      complete: () => {
        // On a terminal the report has said so.
        if (!status.live) log.info({ requests: traffic.requests }, `answered ${traffic.requests} requests in all`);
      },
    });
}

/** What a client is told that is not served. */
function farewell(reason: RefusalReason): string {
  switch (reason) {
    case 'budget':
      return 'SERVER_ERROR connections hold more memory than they may\r\n';
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
    run(settings);
  }
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  fail(error.message);
}
