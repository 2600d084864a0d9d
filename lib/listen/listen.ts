import { defer, isObservable, Observable } from 'rxjs';
import { EventChannels } from '../channels.ts';
import type { Connection } from '../connection/connection.ts';
import { settings, transportOptions } from '../connection/settings.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { CertificateEvent, FailedEvent } from '../events.ts';
import { check, milliseconds, whole } from '../options.ts';
import { trustedBy } from '../proxyProtocol/trusted.ts';
import { defaultClock } from '../time/monotonic.ts';
import { HandshakeQueue } from '../tls/handshakeQueue.ts';
import { HANDSHAKE, serverUpgrades } from '../tls/upgrades.ts';
import type { Where } from '../transport/transport.ts';
import { admissionRules } from './admissionRules.ts';
import { CurrentLimits, defaultLimits } from './limits.ts';
import { Lingering } from './lingering.ts';
import { Listener } from './listener.ts';
import { checkTogether, type ListenOptions, listenChecks } from './listenOptions.ts';
import { type Live, LiveOptions } from './live.ts';
import { Registry } from './registry.ts';
import { TlsSource } from './tlsSource.ts';
import { whereToListen } from './whereToListen.ts';

/** Connections that may send a PROXY header or be in the handshake, also if fewer may wait: without it none could come in. */
const ARRIVALS = 1000;

/**
 * Listens for connections: an Observable of {@link Connection}s, each an Observable of bytes.
 *
 * ```text
 * listen({ port })   --A---B-C----     each waits until it is subscribed to
 *                    #                 EADDRINUSE, EACCES …
 * ```
 *
 * **Cold**: each subscription opens the port, and the port is closed when the subscription ends. Connections that have been
 * subscribed to stay open. The Observable never completes by itself.
 *
 * **It hands out a connection only when the last one has been subscribed to.** So an operator that limits by not subscribing,
 * such as `mergeMap` with its concurrency argument, limits the server. Further connections wait, first in, first out. A
 * connection is refused, with an event, if too many wait or if it waits too long. An operator that drops a connection
 * calls `connection.refuse()`.
 *
 * @example
 * ```ts
 * listen({ port: 7000 }).pipe(
 *   takeUntil(signals()),
 *   mergeMap((connection) => connection.pipe(lines(), map(encodeLine), connection.send(), catchError(() => EMPTY)), 1000),
 * ).subscribe();
 * ```
 *
 * @example Two limits: each host has at most 10 connections. `ahead` lets those of others pass by one that waits.
 * ```ts
 * const handle = (client: Connection) =>
 *   client.pipe(lines(), map(encodeLine), client.send(), catchError(() => EMPTY));
 *
 * listen({ port: 7000 }, { ahead: 100 }).pipe(
 *   groupBy((client) => client.peer.address),
 *   mergeMap((host) => host.pipe(mergeMap(handle, 10))),
 * ).subscribe();
 * ```
 *
 * @param where A TCP port and host, the path of a unix socket, or a descriptor.
 * @param options See {@link ListenOptions}.
 * @returns Connections. It errors with Node's own error if the port cannot be opened.
 * @throws TypeError or RangeError for options that do not exist or whose values cannot be.
 */
export function listen(where: Where, options: ListenOptions = {}): Observable<Connection> {
  const place = whereToListen('listen', where);
  const given = check('listen', options, listenChecks);
  checkTogether('listen', given);
  // Shared by all subscriptions: the limit on lingering connections holds for them together.
  const lingering = new Lingering();
  return defer(() => openPort(place, given, new Registry(), lingering));
}

/** What `serve` adds to the options of a port. */
export interface ServedPort {
  /** Connections that are served at a time. */
  readonly concurrency: Live<number>;
  readonly random: () => number;
  /** Adds further options that may be Observables. The port opens when all of them have emitted. */
  addTo(options: LiveOptions): void;
}

/**
 * As {@link listen}, for a place and options that have been validated. For one subscription, because the registry is that of
 * one port.
 *
 * @param registry Where connections are counted.
 * @param lingering Where refused connections stay until their sockets are closed.
 */
export function openPort(
  where: Where,
  options: ListenOptions,
  registry: Registry,
  lingering: Lingering,
  served?: ServedPort,
): Observable<SocketConnection> {
  const { ahead = 1, backlog = 4096, overflow = 'refuse', farewell, events } = options;
  // With `listen` an operator may have dropped a connection, whose slot expires with its wait.
  const patience = overflow === 'park' && served ? Number.POSITIVE_INFINITY : 5000;
  const { waiting: { max: most = defaultLimits().waiting, timeout: wait = patience, order } = {} } = options;
  const { tls, startTls = false, proxy, handshake = HANDSHAKE, scheduler = defaultClock() } = options;
  const isTrusted = proxy && trustedBy(proxy.trusted);
  const { transport, ...socket } = transportOptions(options);
  return new Observable((subscriber) => {
    // One for all connections, each of which it is called on.
    function hand(this: SocketConnection): void {
      subscriber.next(this);
    }
    const emit = (event: FailedEvent | CertificateEvent) => listener.emit(event);
    const failed = (error: unknown) => subscriber.error(error);
    const source = tls && new TlsSource(tls, scheduler, { ready: open, failed, emit });
    const live = new LiveOptions({ ready: () => (source ? source.start() : open()), failed, emit });
    const changed = () => listener.limitsChanged();
    const max = live.add(most, { name: 'waiting.max', allowed: whole(0), changed });
    const timeout = live.add(wait, { name: 'waiting.timeout', allowed: milliseconds, changed });
    const concurrency = served && live.add(served.concurrency, { name: 'concurrency', allowed: whole(1), changed });
    served?.addTo(live);
    const least = overflow === 'refuse' ? 0 : 1;
    const waitingRoom = {
      get max() {
        return Math.max(least, max.value);
      },
      get timeout() {
        return timeout.value;
      },
      ahead,
      order,
      clock: scheduler,
    };
    const handshakes = new HandshakeQueue(scheduler);
    const upgrades = serverUpgrades(handshakes, handshake, startTls ? source : undefined);
    const secured = startTls ? undefined : source;
    const proxied = proxy &&
      isTrusted && { isTrusted, isRequired: proxy.mode !== 'optional', deadline: proxy.deadline ?? 5000 };
    const arrivals = {
      clock: scheduler,
      get max() {
        return Math.max(max.value, ARRIVALS);
      },
      handshake,
      handshakes,
      tls: secured,
      proxy: proxied,
    };
    const limits = new CurrentLimits(concurrency, max);
    const listener = new Listener({
      settings: settings({ ...options, scheduler }, upgrades),
      waitingRoom,
      arrivals: secured || proxied ? arrivals : undefined,
      rules: admissionRules(options, live, concurrency, changed),
      limits,
      holdsConcurrency: isObservable(served?.concurrency),
      overflow,
      farewell,
      random: served?.random ?? Math.random,
      events,
      channels: served ? undefined : new EventChannels(where),
      registry,
      lingering,
      hand: (connection) => connection.inContext(hand),
      fail: failed,
    });
    if (source) listener.opening = () => source.emitEarly();
    let isOver = false;
    function closePort(): void {
      const { port } = listener;
      limits.isClosed = true;
      listener.port = undefined;
      port?.close();
    }
    function open(): void {
      if (isOver) return;
      listener.port = transport.listen(where, { backlog, ...socket }, listener);
      if ('fd' in where && where.held) registry.leaveQueue = closePort;
    }
    live.start();
    return () => {
      isOver = true;
      live.close();
      source?.close();
      closePort();
      listener.close();
    };
  });
}
