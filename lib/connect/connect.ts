import { AsyncResource } from 'node:async_hooks';
import type { Socket } from 'node:net';
import { Observable, type Subscriber } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { defaultBudget } from '../connection/defaultBudget.ts';
import {
  type ConnectionOptions,
  type ConnectionSettings,
  connectionChecks,
  settings,
  transportOptions,
} from '../connection/settings.ts';
import { type ConnectionOwner, SocketConnection } from '../connection/socketConnection.ts';
import { DeadlineError, TlsError } from '../errors.ts';
import type { Security } from '../events.ts';
import { type Check, check, having, timeLimit } from '../options.ts';
import { encodeProxyHeader, type ProxyHeaderOptions, proxyHeaderOptions } from '../proxyProtocol/encode.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { defaultClock } from '../time/monotonic.ts';
import { SecureSocket } from '../tls/secureSocket.ts';
import { type TlsClientOptions, type TlsSide, tlsClient, tlsClientOptions } from '../tls/tlsSide.ts';
import { clientUpgrades } from '../tls/upgrades.ts';
import type { Destination, Dial, DialHandler, SocketHandler, TransportSocket } from '../transport/transport.ts';
import { whereToConnect } from './whereToConnect.ts';

/** How to connect. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectOptions extends ConnectionOptions {
  /** Milliseconds that connecting may take, the look-up of the name and the TLS handshake included. @default 5000 */
  readonly timeout?: number | undefined;
  /**
   * TLS: what `tls.connect` takes (`ca`, `cert`, `key`, `servername`, `ALPNProtocols`, `minVersion` …), or `true` for its
   * defaults. The server's certificate must be valid for the host, unless `servername` or `checkServerIdentity` say otherwise.
   * @default no TLS
   */
  readonly tls?: TlsClientOptions | true | undefined;
  /**
   * The PROXY header to send first, before TLS: what {@link encodeProxyHeader} takes. For a `client` whose bytes are relayed it is
   * `{ source: client.peer, destination: client.local }`.
   * @default no header
   */
  readonly proxy?: ProxyHeaderOptions | undefined;
}

const connectChecks: Record<string, Check> = {
  ...connectionChecks,
  timeout: timeLimit,
  tls: tlsClientOptions,
  proxy: proxyHeaderOptions,
  transport: having('a Transport that connects', 'connect'),
};

/**
 * Connects: the client side of a {@link Connection}.
 *
 * ```text
 * connect({ port })   ---C---------|    connected; it completes when the connection is closed
 *                     ---#              ECONNREFUSED …, or the deadline `connect`
 * ```
 *
 * **Cold**: each subscription makes its own connection. It errors only if the connection cannot be made, and completes when
 * the connection is closed, for whatever reason. So `retry` and `repeat` connect again.
 *
 * Unsubscribing before the connection is made cancels it. Afterwards it belongs to the subscriber, like a connection of
 * `listen`: it ends when its bytes are unsubscribed, or its `send()`. Unsubscribing `connect` leaves it as it is. So
 * `await firstValueFrom(connect(…))` is a connection to use. Call `end()` or `abort()` on a connection that you do not use.
 * A connection whose bytes are not subscribed to, and whose output is empty, does not keep the process alive.
 *
 * @example Asks once.
 * ```ts
 * const server = await firstValueFrom(connect({ port: 7001 }));
 * await server.write('hello\n');
 * console.log(await firstValueFrom(server.pipe(lines())));
 * // → hello
 * ```
 *
 * @example Reconnects, each time after twice the delay with jitter, half a minute at most.
 * ```ts
 * connect({ port: 7001 }).pipe(
 *   mergeMap((connection) => connection.pipe(lines(), tap(console.log), ignoreElements())),
 *   retry({ delay: (_error, n) => timer(Math.min(30_000, 2 ** n * 100) * (0.5 + Math.random() / 2)), resetOnSuccess: true }),
 *   repeat({ delay: 1000 }),
 * ).subscribe();
 * ```
 *
 * @param where A TCP port and host, or the path of a unix socket.
 * @param options See {@link ConnectOptions}.
 * @returns One Connection. It errors with Node's own error, or with {@link DeadlineError}, `connect`.
 * @throws TypeError or RangeError for options that do not exist or whose values cannot be.
 */
export function connect(where: Destination, options: ConnectOptions = {}): Observable<Connection> {
  const place = whereToConnect(where);
  const given = check('connect', options, connectChecks);
  const { timeout = 5000, tls, proxy } = given;
  const host = 'path' in place ? undefined : (place.host ?? 'localhost');
  const side = tls && tlsClient(tls === true ? {} : tls, host);
  const header = proxy && encodeProxyHeader(proxy);
  const { transport, ...socket } = transportOptions(given);
  let common: ConnectionSettings | undefined;
  let ids = 0;
  return new Observable((subscriber) => {
    // Kept, because reading the limits of the system takes longer than connecting.
    defaultLimit ??= defaultBudget();
    common ??= settings({ ...given, budget: given.budget ?? defaultLimit }, clientUpgrades(host, timeout));
    // The default clock is looked up on each subscription, because a subscription may be made on virtual time.
    const { scheduler: clock = defaultClock() } = given;
    const dialling = new Dialling(
      ++ids,
      { ...common, clock, context: new AsyncResource('SluiceConnect') },
      { timeout, tls: side, header },
      subscriber,
    );
    // A transport without `connect` was rejected when the options were validated; the default one has it.
    dialling.begin((handler) => transport.connect?.(place, socket, handler));
    return () => dialling.cancel();
  });
}

/** The default budget of outgoing connections, in bytes. */
let defaultLimit: number | undefined;

interface DialOptions {
  /** Milliseconds. */
  readonly timeout: number;
  readonly tls: TlsSide | undefined;
  /** The PROXY header. */
  readonly header: Uint8Array | undefined;
}

/** One subscription of `connect`. */
class Dialling implements DialHandler, ConnectionOwner, DeadlineOwner {
  readonly #id: number;
  readonly #settings: ConnectionSettings;
  readonly #options: DialOptions;
  readonly #to: Subscriber<Connection>;
  readonly #timer: DeadlineTimer;
  readonly #begun: number;
  /** The connect, and then the handshake. */
  #dial: Dial | undefined;

  constructor(id: number, settings: ConnectionSettings, options: DialOptions, to: Subscriber<Connection>) {
    this.#id = id;
    this.#settings = settings;
    this.#options = options;
    this.#to = to;
    this.#timer = new DeadlineTimer(settings.clock, this);
    this.#begun = settings.clock.now();
  }

  begin(dial: (handler: DialHandler) => Dial | undefined): void {
    this.#timer.set();
    this.#dial = dial(this);
  }

  connected(socket: TransportSocket): void {
    const { tls, header } = this.#options;
    if (tls === undefined) return this.#emit(socket, header);
    let raw: Socket;
    try {
      if (socket.detach === undefined) throw new TypeError('Cannot connect: the transport has no TLS');
      raw = socket.detach();
    } catch (error) {
      socket.destroy();
      return this.failed(error as Error);
    }
    // Node sends the first message of the handshake after it.
    if (header) raw.write(header);
    const secure = new SecureSocket(tls, raw, socket, (secured) => this.#emit(secured, undefined, secured.security));
    secure.handler = new HandshakeHandler((error) => this.failed(error));
    this.#dial = { cancel: () => secure.destroy() };
  }

  #emit(socket: TransportSocket, header: Uint8Array | undefined, security?: Security): void {
    this.#timer.clear();
    this.#dial = undefined;
    const connection = new SocketConnection(this.#id, socket, this.#settings, this);
    // There is no observer of the event `hoarding`.
    connection.usage.isUnmeasured = true;
    if (security) connection.originates({ security });
    if (header) {
      connection.output.queue.push(header);
      connection.output.flush();
    }
    connection.inContext(() => this.#to.next(connection));
  }

  failed(error: Error): void {
    this.#to.error(error);
  }

  cancel(): void {
    this.#timer.clear();
    this.#dial?.cancel();
    this.#dial = undefined;
  }

  due(): number {
    return this.#begun + this.#options.timeout;
  }

  expire(): void {
    this.#dial?.cancel();
    this.#to.error(new DeadlineError('connect', this.#options.timeout));
  }

  // There is no waiting room here, and so there is no slot to free and nothing to count.
  taken(): void {}
  missed(): void {}

  refuse(connection: SocketConnection): void {
    connection.dismiss(undefined, 0);
  }

  closed(): void {
    this.#to.complete();
  }
}

/** Handles what the socket reports during the handshake. */
class HandshakeHandler implements SocketHandler {
  #fail: ((error: Error) => void) | undefined;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  failed(error: Error): void {
    const fail = this.#fail;
    this.#fail = undefined;
    fail?.(error);
  }

  freed(): void {
    this.failed(new TlsError('the server closed the connection within the handshake', { code: 'ECONNRESET' }));
  }

  received(): void {}
  peerEnded(): void {}
  writable(): void {}
  finished(): void {}
  writeFailed(): void {}
}
