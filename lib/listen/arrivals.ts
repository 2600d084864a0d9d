import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import { DeadlineError } from '../errors.ts';
import type { RefusalReason } from '../events.ts';
import { type Linked, LinkedSet } from '../linkedSet.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import type { HandshakeQueue } from '../tls/handshakeQueue.ts';
import type { TlsSide } from '../tls/tlsSide.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import { Arrival, type ArrivalOwner, HeaderWait } from './arrival.ts';

/** How connections arrive at a port with TLS, or behind a proxy. Times are in milliseconds from the accept. */
export interface ArrivalsOptions {
  readonly clock: SchedulerLike;
  /** How many may arrive at a time now; one more is refused as `full`. */
  readonly max: number;
  /** How long a TLS handshake may take, for those that are accepted now. */
  readonly handshake: number;
  /** The current certificates and settings. */
  readonly tls: { readonly side: TlsSide } | undefined;
  /** Where connections wait for their handshakes. */
  readonly handshakes: HandshakeQueue;
  readonly proxy:
    | {
        readonly isRequired: boolean;
        /** How long a PROXY header may take. */
        readonly deadline: number;
        isTrusted(address: Address): boolean;
      }
    | undefined;
}

/** The share of the arrivals that may be there at a time from which few more may come. */
const SCARCE = 0.75;

/** What happens to arrivals. */
export interface ArrivalsHandler {
  /** Can be handed out. */
  ready(connection: SocketConnection): void;
  refuse(connection: SocketConnection, reason: RefusalReason, error?: Error): void;
  /** The address of the client is known. @returns Why it is refused; `undefined` if it comes in. */
  admit(connection: SocketConnection): RefusalReason | undefined;
  /** It does not come in. */
  turnAway(connection: SocketConnection, reason: RefusalReason): void;
  /** So many more handshakes have begun, or so many less. */
  handshakes(change: number): void;
}

/**
 * The connections of a port that cannot be handed out yet: they have to send a PROXY header, or to be secured. Each has a
 * deadline from its accept, and their number is limited.
 */
export class Arrivals implements ArrivalOwner, DeadlineOwner {
  readonly #options: ArrivalsOptions;
  readonly #handler: ArrivalsHandler;
  readonly #timer: DeadlineTimer;
  /**
   * Those that have to send a PROXY header, and all, in the order of their accept. Not a `Map` or a `Set`: it is copied again and
   * again as items come and go. A copy in V8's old space keeps its items, with their connections, until the next full collection.
   */
  readonly #unidentified = new LinkedSet<HeaderWait>();
  readonly #all = new LinkedSet<Arrival>();
  #isOpen = true;

  constructor(options: ArrivalsOptions, handler: ArrivalsHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#timer = new DeadlineTimer(options.clock, this);
  }

  /** How many there are. */
  get size(): number {
    return this.#all.size;
  }

  /** How many there may be now. */
  get max(): number {
    return this.#options.max;
  }

  /** Whether so few more may arrive that one peer is not to have them all. */
  get isScarce(): boolean {
    return this.#all.size >= SCARCE * this.#options.max;
  }

  /** Whether one more would be refused. */
  get isFull(): boolean {
    return this.#all.size >= this.#options.max;
  }

  get proxy(): ArrivalsOptions['proxy'] {
    return this.#options.proxy;
  }

  get hasTls(): boolean {
    return this.#options.tls !== undefined;
  }

  /** A connection was accepted. @param isAdmitted Its peer has been checked, because it is the client whatever it sends. */
  accept(connection: SocketConnection, socket: TransportSocket, isAdmitted: boolean): void {
    const { clock, proxy, handshake } = this.#options;
    if (!this.#isOpen) return this.#handler.refuse(connection, 'draining');
    if (this.isFull) return this.#handler.refuse(connection, 'full');
    const now = clock.now();
    const arrival = new Arrival(connection, socket, this, this.hasTls ? now + handshake : Number.POSITIVE_INFINITY);
    arrival.isAdmitted = isAdmitted;
    connection.arrival = arrival;
    this.#all.add(arrival);
    if (proxy) {
      arrival.headerWait = new HeaderWait(arrival, now + proxy.deadline);
      this.#unidentified.add(arrival.headerWait);
    }
    this.#timer.set();
    arrival.begin();
  }

  /** The port is closed: refuses all. */
  close(): void {
    this.#isOpen = false;
    this.#timer.clear();
    for (let next = this.#all.first; next !== undefined; next = this.#all.first) this.#refuse(next, 'draining');
  }

  // What an arrival reports (ArrivalOwner) -------------------------------------------------------------------------------

  identified(arrival: Arrival): boolean {
    this.#stopWaiting(arrival);
    if (arrival.isAdmitted) return true;
    const reason = this.#handler.admit(arrival.connection);
    // The user's code was asked, and may have closed it.
    if (reason === undefined || arrival.isOver) return !arrival.isOver;
    arrival.leave();
    this.#handler.turnAway(arrival.connection, reason);
    return false;
  }

  #stopWaiting({ headerWait }: Arrival): void {
    if (headerWait) this.#unidentified.delete(headerWait);
  }

  helloRead(arrival: Arrival): void {
    arrival.isSecuring = true;
    this.#handler.handshakes(1);
    this.#options.handshakes.add((hasWaited) => {
      if (arrival.isOver) return false;
      arrival.connection.inContext(() => this.#secure(arrival, hasWaited));
      return true;
    });
  }

  ready({ connection }: Arrival): void {
    this.#handler.ready(connection);
  }

  refuse({ connection }: Arrival, reason: 'proxy' | 'tls' | 'gone', error?: Error): void {
    this.#handler.refuse(connection, reason, error);
  }

  left(arrival: Arrival): void {
    this.#stopWaiting(arrival);
    this.#all.delete(arrival);
    arrival.connection.arrival = undefined;
    if (arrival.isSecuring) this.#handler.handshakes(-1);
    arrival.isSecuring = false;
  }

  #secure(arrival: Arrival, hasWaited: boolean): void {
    const { tls } = this.#options;
    if (tls) arrival.secure(tls.side, hasWaited);
  }

  // Deadlines (DeadlineOwner) ------------------------------------------------------------------------------------------

  due(): number {
    return Math.min(dueOf(this.#unidentified), dueOf(this.#all));
  }

  expire(): void {
    const { clock, proxy, handshake } = this.#options;
    const now = clock.now();
    for (const { arrival } of overdue(this.#unidentified, now)) {
      // It may be a client of a protocol in which the server speaks first.
      if (proxy?.isRequired === false && !arrival.hasBegun) arrival.connection.inContext(() => arrival.goOn());
      else this.#refuse(arrival, 'deadline', new DeadlineError('proxy', proxy?.deadline ?? 0));
    }
    for (const arrival of overdue(this.#all, now)) {
      arrival.handshakeFailed();
      this.#refuse(arrival, 'deadline', new DeadlineError('handshake', handshake));
    }
    this.#timer.set();
  }

  #refuse(arrival: Arrival, reason: RefusalReason, error?: Error): void {
    arrival.leave();
    this.#handler.refuse(arrival.connection, reason, error);
  }
}

type Waiting<T extends Linked<T>> = Linked<T> & { readonly until: number };

/** When the first deadline is over; `Infinity` if there is none. */
const dueOf = <T extends Waiting<T>>(waits: LinkedSet<T>): number => waits.first?.until ?? Number.POSITIVE_INFINITY;

/** Those whose deadline is over. Each is removed before it is returned. */
function* overdue<T extends Waiting<T>>(waits: LinkedSet<T>, now: number): Generator<T> {
  for (let { first } = waits; first !== undefined && first.until <= now; first = waits.first) {
    waits.delete(first);
    yield first;
  }
}
