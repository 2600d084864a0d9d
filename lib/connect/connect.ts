import { AsyncResource } from 'node:async_hooks';
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
import { DeadlineError } from '../errors.ts';
import { type Check, check, having, timeLimit } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { defaultClock } from '../time/monotonic.ts';
import type { Destination, Dial, DialHandler, TransportSocket } from '../transport/transport.ts';
import { whereToConnect } from './whereToConnect.ts';

/** How to connect. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectOptions extends ConnectionOptions {
  /** How long connecting may take, the look-up of the name included. @default 5000 */
  readonly timeout?: number | undefined;
}

const connectChecks: Record<string, Check> = {
  ...connectionChecks,
  timeout: timeLimit,
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
 * @example Reconnects, each time after twice the delay with jitter, half a minute at most.
 * connect({ port: 7000 }).pipe(
 *   mergeMap((connection) => connection.pipe(lines(), tap(console.log), ignoreElements())),
 *   retry({ delay: (_error, n) => timer(Math.min(30_000, 2 ** n * 100) * (0.5 + Math.random() / 2)), resetOnSuccess: true }),
 *   repeat({ delay: 1000 }),
 * ).subscribe();
 *
 * @param where A TCP port and host, or the path of a unix socket.
 * @param options See {@link ConnectOptions}.
 * @returns One Connection. It errors with Node's own error, or with {@link DeadlineError}, `connect`.
 * @throws TypeError or RangeError for options that do not exist or whose values cannot be.
 */
export function connect(where: Destination, options: ConnectOptions = {}): Observable<Connection> {
  const place = whereToConnect(where);
  const given = check('connect', options, connectChecks);
  const { timeout = 5000 } = given;
  const { transport, ...socket } = transportOptions(given);
  let common: ConnectionSettings | undefined;
  let ids = 0;
  return new Observable((subscriber) => {
    // Kept, because reading the limits of the system takes longer than connecting.
    defaultLimit ??= defaultBudget();
    common ??= settings({ ...given, budget: given.budget ?? defaultLimit });
    // The default clock is looked up on each subscription, because a subscription may be made on virtual time.
    const { scheduler: clock = defaultClock() } = given;
    const dialling = new Dialling(
      ++ids,
      { ...common, clock, context: new AsyncResource('SluiceConnect') },
      timeout,
      subscriber,
    );
    // A transport without `connect` was rejected when the options were validated; the default one has it.
    dialling.begin((handler) => transport.connect?.(place, socket, handler));
    return () => dialling.cancel();
  });
}

/** The default budget of outgoing connections, in bytes. */
let defaultLimit: number | undefined;

/** One subscription of `connect`. */
class Dialling implements DialHandler, ConnectionOwner, DeadlineOwner {
  readonly #id: number;
  readonly #settings: ConnectionSettings;
  readonly #timeout: number;
  readonly #to: Subscriber<Connection>;
  readonly #timer: DeadlineTimer;
  readonly #begun: number;
  #dial: Dial | undefined;

  constructor(id: number, settings: ConnectionSettings, timeout: number, to: Subscriber<Connection>) {
    this.#id = id;
    this.#settings = settings;
    this.#timeout = timeout;
    this.#to = to;
    this.#timer = new DeadlineTimer(settings.clock, this);
    this.#begun = settings.clock.now();
  }

  begin(dial: (handler: DialHandler) => Dial | undefined): void {
    this.#timer.set();
    this.#dial = dial(this);
  }

  connected(socket: TransportSocket): void {
    this.#timer.clear();
    this.#dial = undefined;
    const connection = new SocketConnection(this.#id, socket, this.#settings, this);
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
    return this.#begun + this.#timeout;
  }

  expire(): void {
    this.#to.error(new DeadlineError('connect', this.#timeout));
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
