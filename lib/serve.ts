import { EMPTY, from, mergeMap, Observable, type ObservableInput, takeUntil } from 'rxjs';
import { EventChannels } from './channels.ts';
import type { Connection } from './connection/connection.ts';
import type { SocketConnection } from './connection/socketConnection.ts';
import type { Deadlines } from './connection/watchdog.ts';
import type { Data } from './connection/writeQueue.ts';
import type { ConnectionView, ServerEvent } from './events.ts';
import { withStore } from './flow/context.ts';
import { type Handler, onDemand } from './flow/reply.ts';
import { defaultLimits } from './listen/limits.ts';
import { Lingering } from './listen/lingering.ts';
import { openPort } from './listen/listen.ts';
import { checkTogether, type ListenOptions, listenChecks } from './listen/listenOptions.ts';
import { type Live, type LiveOptions, live } from './listen/live.ts';
import { ProgressReports } from './listen/progressReports.ts';
import { Registry } from './listen/registry.ts';
import { whereToListen } from './listen/whereToListen.ts';
import {
  callable,
  check,
  checkArgument,
  describe,
  finiteMilliseconds,
  fraction,
  milliseconds,
  timeLimit,
  whole,
} from './options.ts';
import { Drain } from './shutdown/drain.ts';
import { LiveDeadlines } from './shutdown/liveDeadlines.ts';
import { serveConnection } from './shutdown/serveConnection.ts';
import { ShardedSubscriber } from './shutdown/shardedSubscriber.ts';
import { endOfCallback } from './time/eventLoop.ts';
import { defaultClock } from './time/monotonic.ts';
import type { Where } from './transport/transport.ts';

export type { Handler } from './flow/reply.ts';

/** How to serve. Times are in milliseconds; `Infinity` for no limit. */
export interface ServeOptions extends Omit<ListenOptions, 'events' | 'ahead'> {
  /**
   * Connections that are served at a time; further ones wait. If it is lowered, those that are served finish. If it is raised, those
   * that wait come in at once. By default half of the descriptors that the process may have and does not use, if that is less than
   * 1000.
   * @default 1000
   */
  readonly concurrency?: Live<number> | undefined;
  /**
   * The first value begins the drain, and a second one ends it at once. If this errors, the server ends at once, with that error.
   * @default never
   */
  readonly shutdown?: ObservableInput<unknown> | undefined;
  /** Milliseconds to go on accepting after the signal, so that a load balancer can notice. @default 0 */
  readonly announce?: number | undefined;
  /** Milliseconds that connections have to finish once the port is closed; then they are aborted. @default 10000 */
  readonly grace?: number | undefined;
  /**
   * Milliseconds over which connections are asked to finish in a drain, one by one and evenly, so that their clients do not all
   * connect elsewhere at once. Until its turn a connection is served as before. At most nine tenths of `grace` count, because the last
   * ones need time, too. @default 0
   */
  readonly spread?: number | undefined;
  /**
   * What a connection is sent before our FIN when it has finished because it was asked to: in a drain, by `drain()`, or at the
   * end of its `lifetime`. It is behind the last reply. Nothing is sent if the function returns `undefined`, or if it throws; then
   * there is a `failed` event, too. @default nothing
   */
  readonly lastCall?: ((connection: ConnectionView) => Data | undefined) | undefined;
  /**
   * Milliseconds for which a connection may neither receive nor send anything. Time in which its handler works on a request, as far as the
   * library can see that, or in which its input is paused, does not count: see {@link idle}.
   * @default 30000
   */
  readonly idle?: Live<number> | undefined;
  /** Milliseconds that a peer may take to send its first byte. @default 10000 */
  readonly greeting?: Live<number> | undefined;
  /**
   * Milliseconds that a frame may take from its first byte to its last, for framing operators that set no `timeout`. Another value of an
   * Observable holds for connections that are taken later.
   * @default 10000
   */
  readonly frame?: Live<number> | undefined;
  /**
   * Milliseconds that the work on one request of an `exchange` may take, if that sets no `timeout`. Another value of an Observable
   * holds for connections that are taken later.
   * @default 60000
   */
  readonly reply?: Live<number> | undefined;
  /**
   * Makes the value that {@link contextOf} returns in every callback of the connection's handler, and after each `await` in them: a
   * logger with the connection's id, say. Called once, before the handler. If it throws, the connection ends as `failed`.
   * @default none
   */
  readonly context?: ((connection: Connection) => unknown) | undefined;
  /** Milliseconds that a connection lasts before it is asked to finish, as in a drain. @default Infinity */
  readonly lifetime?: number | undefined;
  /**
   * Milliseconds from one report of the figures of a connection that lasts to the next, as an event `progress`.
   * @default Infinity
   */
  readonly report?: number | undefined;
  /** The share of `lifetime` that is random, so that connections do not all end at the same time. @default 0.1 */
  readonly jitter?: number | undefined;
  /** The source of randomness: returns numbers from 0 to 1. @default Math.random */
  readonly random?: (() => number) | undefined;
}

/**
 * A whole server, with every protection on, as a stream of its events.
 *
 * ```text
 * clients            --A--B--------C--
 * shutdown           --------------------x
 * serve(…, handler)  l-o--o---c----o-----d---c--c-D|    listening, opened, closed, draining, drained
 * ```
 *
 * Subscribing opens the port. The stream completes when the shutdown is over, with the report as its last value, and after that
 * no code of the handler runs. Unsubscribing closes the port and aborts all connections.
 *
 * @example
 * ```ts
 * const echo = (client: Connection) => client.pipe(lines(), map(encodeLine));
 *
 * serve({ port: 7000 }, echo, { concurrency: 5000, shutdown: signals() }).subscribe(logTo());
 * ```
 *
 * @param where A TCP port and host, the path of a unix socket, or a descriptor.
 * @param handler From a connection to its replies.
 * @param options See {@link ServeOptions}.
 * @returns Events. It errors with Node's own error if the port cannot be opened.
 * @throws TypeError or RangeError for options that do not exist or whose values cannot be.
 */
export function serve(where: Where, handler: Handler, options: ServeOptions = {}): Observable<ServerEvent> {
  const place = whereToListen('serve', where);
  checkArgument('serve', 'the handler', handler, callable);
  const given = check('serve', options, serveChecks);
  checkTogether('serve', given);
  const { concurrency = defaultLimits().concurrency, shutdown = EMPTY, ...timed } = given;
  const { announce = 0, grace = 10_000, spread = 0, lastCall, ...more } = timed;
  const { idle = 30_000, greeting = 10_000, frame = 10_000, reply: replying = 60_000, ...others } = more;
  const { lifetime = Number.POSITIVE_INFINITY, jitter = 0.1, random = Math.random, ...rest } = others;
  const { report: every = Number.POSITIVE_INFINITY, context, ...listening } = rest;
  const handle = context ? withStore(context, handler) : handler;
  const times = { idle, greeting, frame, reply: replying };
  // An Observable is obeyed where connections are handed out.
  const limit = typeof concurrency === 'number' ? concurrency : Number.POSITIVE_INFINITY;
  const plan = { announce, grace, spread };
  return new Observable((events) => {
    const { scheduler: clock = defaultClock() } = given;
    const registry = new Registry(plan);
    const lingering = new Lingering();
    const channels = new EventChannels(place);
    const emit = (event: ServerEvent) => {
      channels.publish(event);
      events.next(event);
    };
    let deadlines: Deadlines;
    const served = {
      concurrency,
      random: () => chance(random()),
      addTo(options: LiveOptions) {
        deadlines = new LiveDeadlines(times, grace, options, registry.connections, clock);
      },
    };
    const drain = new Drain({ ...plan, clock, registry, lingering, lastCall, emit });
    const reports = every === Number.POSITIVE_INFINITY ? undefined : new ProgressReports({ clock, every, emit });

    const reply = (connection: SocketConnection) => {
      // The deadlines are armed before any code of the user is called.
      connection.watchdog.guard(deadlines);
      if (lifetime !== Number.POSITIVE_INFINITY)
        connection.watchdog.expireAfter(lifetime * (1 - jitter * chance(random())));
      reports?.add(connection);
      return onDemand(handle(connection) as Data | ObservableInput<Data | undefined>, connection);
    };

    const options = { ...listening, scheduler: clock, events: drain };
    const server = openPort(place, options, registry, lingering, served).pipe(
      takeUntil(drain.closePort),
      mergeMap((connection) => serveConnection(connection, drain, reply), limit),
      takeUntil(drain.overdue),
    );

    const subscriber = new ShardedSubscriber({
      error: (error) => events.error(error),
      complete: () => {
        const end = () => {
          drain.end();
          events.complete();
        };
        // `takeUntil` completes before it closes the port, which refuses those that wait or arrive: they may then linger.
        endOfCallback(clock, () => events.add(lingering.over.subscribe({ complete: end })));
      },
    });
    // Before the drain, because teardowns run in this order: when the drain aborts the connections, no other may take a slot.
    events.add(subscriber);
    events.add(drain);
    if (reports) events.add(reports);
    server.subscribe(subscriber);
    if (!events.closed)
      events.add(from(shutdown).subscribe({ next: () => drain.signal(), error: (error) => events.error(error) }));
  });
}

function chance(value: unknown): number {
  checkArgument('serve', 'what random returns', value, fraction);
  return value as number;
}

const serveChecks = (() => {
  const { events: _events, ahead: _ahead, ...others } = listenChecks;
  return {
    ...others,
    concurrency: live(whole(1)),
    shutdown: (value: unknown) => {
      try {
        from(value as ObservableInput<unknown>);
        // RxJS makes an Observable of a string, too, but its second character would be a second signal.
        if (typeof value !== 'string') return undefined;
      } catch {}
      return `must be an Observable, or what RxJS can make one of, not ${describe(value)}`;
    },
    announce: milliseconds,
    grace: milliseconds,
    spread: finiteMilliseconds,
    lastCall: callable,
    context: callable,
    idle: live(timeLimit),
    greeting: live(timeLimit),
    frame: live(timeLimit),
    reply: live(timeLimit),
    lifetime: timeLimit,
    report: timeLimit,
    jitter: fraction,
    random: callable,
  };
})();
