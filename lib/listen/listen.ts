import { defer, type NextObserver, Observable } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { type ConnectionOptions, connectionChecks, settings, transportOptions } from '../connection/settings.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import type { ListenEvent, RefusalReason } from '../events.ts';
import {
  type Check,
  check,
  describe,
  flag,
  having,
  isData,
  milliseconds,
  object,
  oneOf,
  timeLimit,
  whole,
} from '../options.ts';
import { networks, trustedBy } from '../proxyProtocol/trusted.ts';
import { defaultClock } from '../time/monotonic.ts';
import { HandshakeQueue } from '../tls/handshakeQueue.ts';
import { type TlsOptions, tlsOptions } from '../tls/tlsSide.ts';
import { HANDSHAKE, serverUpgrades } from '../tls/upgrades.ts';
import type { Port, Where } from '../transport/transport.ts';
import { Lingering } from './lingering.ts';
import { Listener } from './listener.ts';
import { Registry } from './registry.ts';
import { TlsSource } from './tlsSource.ts';
import { whereToListen } from './whereToListen.ts';

/** How to listen. Times are in milliseconds; `Infinity` for no limit. */
export interface ListenOptions extends ConnectionOptions {
  /** Where events go: a Subject, or any observer. */
  readonly events?: NextObserver<ListenEvent> | undefined;
  /** Connections that are accepted and not yet subscribed to. */
  readonly waiting?:
    | {
        /** How many may wait; one more is refused as `full`. @default 1000 */
        readonly max?: number | undefined;
        /** How long each may wait; then it is refused as `timeout`. @default 5000 */
        readonly timeout?: number | undefined;
      }
    | undefined;
  /**
   * What happens to connections for which there is no room: `refuse` sends a FIN at once. Their input is read and discarded for
   * 100 ms, for 1000 of them at a time, because a close with unread input would send a RST. (`park` is planned.)
   * @default 'refuse'
   */
  readonly overflow?: 'refuse' | undefined;
  /**
   * What is sent to a refused connection before our FIN, or a function from the reason of the refusal to that. Nothing is sent
   * if the function returns `undefined`, or if it throws; then there is a `failed` event, too.
   * @default nothing
   */
  readonly farewell?: Data | ((reason: RefusalReason) => Data | undefined) | undefined;
  /**
   * How many connections may be handed out and not yet subscribed to. This is not a limit for each address, because one
   * address can have all of them. The second example of {@link listen} is such a limit.
   * @default 1
   */
  readonly ahead?: number | undefined;
  /**
   * TLS: what `tls.createServer` takes (`cert`, `key`, `ca`, `requestCert`, `ALPNProtocols`, `SNICallback`, `minVersion` …), or
   * an Observable of that, such as `certificates({ cert, key })`. With an Observable the port opens when it first emits. Each
   * further value holds for the handshakes that begin after it, and no connection is closed. A value that `node:tls` does not
   * accept, or that lacks the key of a certificate, is refused with a `failed` event, and the one before stays.
   *
   * A connection is handed out when it is secured. At most 2 handshakes begin in one iteration of the event loop.
   * @default no TLS
   */
  readonly tls?: TlsOptions | Observable<TlsOptions> | undefined;
  /**
   * Whether connections begin in clear text, for protocols that begin TLS in the middle of a conversation (STARTTLS): then `tls`
   * holds for `connection.upgrade()`, with its renewals and the event `certificate`. @default false
   */
  readonly startTls?: boolean | undefined;
  /**
   * How long a TLS handshake may take, from the accept; then the connection is refused as `deadline`. As many connections as
   * `waiting.max`, and at least 1000, may be in the handshake, besides those that wait. The time also counts as part of
   * `greeting`. @default 10000
   */
  readonly handshake?: number | undefined;
  /**
   * The PROXY protocol, version 1 and 2: `connection.peer` is the client that the header names, and `connection.via` the proxy.
   * The header comes before TLS. A connection whose header is missing or malformed, or that comes from any other address, is
   * refused as `proxy`.
   * @default no header
   */
  readonly proxy?:
    | {
        /** The proxies: addresses and networks, such as `10.0.0.0/8` or `::1`; `unix` for all peers of a unix socket. */
        readonly trusted: readonly string[];
        /**
         * With `optional`, connections without a header are served as well, those of other addresses included. It is then known
         * only by the first bytes whether there is a header. So a client that sends nothing is handed out after `deadline`.
         * @default 'required'
         */
        readonly mode?: 'required' | 'optional' | undefined;
        /** How long the header may take, from the accept. @default 5000 */
        readonly deadline?: number | undefined;
      }
    | undefined;
  /** Connections that the kernel completes before they are accepted. It has its own limit, `net.core.somaxconn`. @default 4096 */
  readonly backlog?: number | undefined;
}

/** Connections that may send a PROXY header or be in the handshake, also if fewer may wait: without it none could come in. */
const ARRIVALS = 1000;

/** How each option is validated. */
export const listenChecks: Record<string, Check> = {
  ...connectionChecks,
  events: having('an observer', 'next'),
  waiting: object({ max: whole(0), timeout: milliseconds }),
  overflow: (value) => (value === 'park' ? "cannot be 'park' yet: only 'refuse' is there" : oneOf('refuse')(value)),
  farewell: (value) =>
    typeof value === 'function' || isData(value)
      ? undefined
      : `must be a string, a Uint8Array or a function, not ${describe(value)}`,
  ahead: whole(1),
  tls: tlsOptions,
  startTls: flag,
  handshake: timeLimit,
  proxy: object({ trusted: networks, mode: oneOf('required', 'optional'), deadline: timeLimit }, 'trusted'),
  backlog: whole(1, 0x7fffffff),
  transport: having('a Transport', 'listen'),
};

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
 * listen({ port: 7000 }).pipe(
 *   takeUntil(shutdown),
 *   mergeMap((connection) => connection.pipe(lines(), map(encodeLine), connection.send(), catchError(() => EMPTY)), 1000),
 * ).subscribe();
 *
 * @example At most 10 connections from each address, and 1000 in all.
 * const open = new Map<string, number>();
 * listen({ port: 7000 }).pipe(
 *   filter((connection) => {
 *     const { address = '' } = connection.peer;
 *     const count = open.get(address) ?? 0;
 *     if (count >= 10) {
 *       connection.refuse('too many');
 *       return false;
 *     }
 *     open.set(address, count + 1);
 *     connection.closed.subscribe(() => {
 *       const left = (open.get(address) ?? 1) - 1;
 *       if (left > 0) open.set(address, left);
 *       else open.delete(address);
 *     });
 *     return true;
 *   }),
 *   mergeMap(handle, 1000),
 * ).subscribe();
 *
 * @param where A TCP port and host, the path of a unix socket, or a descriptor.
 * @param options See {@link ListenOptions}.
 * @returns Connections. It errors with Node's own error if the port cannot be opened.
 * @throws TypeError or RangeError for options that do not exist or whose values cannot be.
 */
export function listen(where: Where, options: ListenOptions = {}): Observable<Connection> {
  const place = whereToListen('listen', where);
  const given = check('listen', options, listenChecks);
  // Shared by all subscriptions: the limit on lingering connections holds for them together.
  const lingering = new Lingering();
  return defer(() => openPort(place, given, new Registry(), lingering));
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
): Observable<SocketConnection> {
  const { waiting: { max = 1000, timeout = 5000 } = {}, ahead = 1, backlog = 4096, farewell, events } = options;
  const { tls, startTls = false, proxy, handshake = HANDSHAKE, scheduler = defaultClock() } = options;
  const isTrusted = proxy && trustedBy(proxy.trusted);
  const { transport, ...socket } = transportOptions(options);
  return new Observable((subscriber) => {
    // One for all connections, each of which it is called on.
    function hand(this: SocketConnection): void {
      subscriber.next(this);
    }
    const source =
      tls &&
      new TlsSource(tls, scheduler, {
        ready: open,
        failed: (error) => subscriber.error(error),
        emit: (event) => listener.emit(event),
      });
    const handshakes = new HandshakeQueue(scheduler);
    const upgrades = serverUpgrades(handshakes, handshake, startTls ? source : undefined);
    const secured = startTls ? undefined : source;
    const proxied = proxy &&
      isTrusted && { isTrusted, isRequired: proxy.mode !== 'optional', deadline: proxy.deadline ?? 5000 };
    const listener = new Listener({
      settings: settings({ ...options, scheduler }, upgrades),
      waitingRoom: { max, timeout, ahead },
      arrivals:
        secured || proxied
          ? { max: Math.max(max, ARRIVALS), handshake, handshakes, tls: secured, proxy: proxied }
          : undefined,
      farewell,
      events,
      registry,
      lingering,
      hand: (connection) => connection.inContext(hand),
      fail: (error) => subscriber.error(error),
    });
    let port: Port | undefined;
    function open(): void {
      port = transport.listen(where, { backlog, ...socket }, listener);
    }
    if (source) source.start();
    else open();
    return () => {
      source?.close();
      port?.close();
      listener.close();
    };
  });
}
