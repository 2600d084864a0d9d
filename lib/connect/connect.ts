import { AsyncResource } from 'node:async_hooks';
import { Observable, type Subscriber } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { defaultBudget } from '../connection/defaultBudget.ts';
import { type ConnectionOptions, connectionChecks, settings, transportOptions } from '../connection/settings.ts';
import { type ConnectionOwner, type ConnectionSettings, SocketConnection } from '../connection/socketConnection.ts';
import { DeadlineError } from '../errors.ts';
import { type Check, check, having, patience, text, unixPath, whole } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { defaultClock } from '../time/monotonic.ts';
import type { Destination, Dial, DialHandler, TransportSocket } from '../transport/transport.ts';

/** How to connect. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectOptions extends ConnectionOptions {
  /** How long it may take until the connection is made, the look-up of the name included. @default 5000 */
  readonly timeout?: number | undefined;
}

const connectChecks: Record<string, Check> = {
  ...connectionChecks,
  timeout: patience,
  transport: having('a Transport that connects', 'connect'),
};

/**
 * Connects: the client's side of a {@link Connection}.
 *
 * ```text
 * connect({ port })   ---C---------|    connected; it completes when the connection has closed
 *                     ---#              ECONNREFUSED …, or the deadline `connect`
 * ```
 *
 * **Cold**: each subscription makes a connection of its own. It errors only if none could be made, and completes when the
 * one it made has closed, for whatever reason. So to connect again is to subscribe again, with `retry` and `repeat`.
 *
 * Unsubscribing before it is connected gives up. From then on the connection is its receiver's, as one of `listen` is: it
 * ends when its bytes are unsubscribed, or its `send()`; unsubscribing here leaves it as it is. So
 * `await firstValueFrom(connect(…))` is a connection to use. One that nobody wants is to be told: `end()` or `abort()`.
 *
 * @example Again and again, each time after twice the time and a bit of chance, but half a minute at most.
 * connect({ port: 7000 }).pipe(
 *   mergeMap((connection) => connection.pipe(lines(), tap(console.log), ignoreElements())),
 *   retry({ delay: (_error, n) => timer(Math.min(30_000, 2 ** n * 100) * (0.5 + Math.random() / 2)), resetOnSuccess: true }),
 *   repeat({ delay: 1000 }),
 * ).subscribe();
 *
 * @param where A TCP port and host, or the path of a unix socket.
 * @param options See {@link ConnectOptions}.
 * @returns One Connection. It errors with Node's own error, or with {@link DeadlineError}, `connect`.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function connect(where: Destination, options: ConnectOptions = {}): Observable<Connection> {
  const place = checkDestination(where);
  const given = check('connect', options, connectChecks);
  const { timeout = 5000 } = given;
  const { transport, ...socket } = transportOptions(given);
  let common: ConnectionSettings | undefined;
  let ids = 0;
  return new Observable((subscriber) => {
    // To ask the system for each connect would take longer than the connect.
    defaultLimit ??= defaultBudget();
    common ??= settings({ ...given, budget: given.budget ?? defaultLimit });
    // The clock anew each time, as each subscription has its own: this one may be made on virtual time.
    const { scheduler: clock = defaultClock() } = given;
    const dialling = new Dialling(
      ++ids,
      { ...common, clock, context: new AsyncResource('SluiceConnect') },
      timeout,
      subscriber,
    );
    // A transport that cannot has been turned away at the door; that of Node can.
    dialling.begin((handler) => transport.connect?.(place, socket, handler));
    return () => dialling.cancel();
  });
}

/** The default budget of outgoing connections, in bytes. */
let defaultLimit: number | undefined;

const DESTINATIONS: readonly (readonly [string, Record<string, Check>])[] = [
  ['port', { port: whole(1, 65_535), host: text }],
  ['path', { path: unixPath }],
];

function checkDestination(where: Destination): Destination {
  const given = typeof where === 'object' && where !== null ? where : {};
  const kind = DESTINATIONS.find(([key]) => key in given);
  if (!kind) throw new TypeError('Cannot connect: where must have a port or a path');
  const [key, checks] = kind;
  const read = check('connect', where, checks, 'where');
  if (!(key in read)) throw new TypeError(`Cannot connect: ${key} is undefined`);
  return read;
}

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

  // Nobody waits for a place here: there is no demand to keep the book of.
  taken(): void {}
  missed(): void {}

  refuse(connection: SocketConnection): void {
    connection.dismiss(undefined, 0);
  }

  closed(): void {
    this.#to.complete();
  }
}
