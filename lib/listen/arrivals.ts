import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import { DeadlineError } from '../errors.ts';
import type { RefusalReason } from '../events.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import type { HandshakeQueue } from '../tls/handshakeQueue.ts';
import type { TlsSide } from '../tls/tlsSide.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import { Arrival, type ArrivalOwner } from './arrival.ts';
import { IndexedQueue } from './indexedQueue.ts';

/** How connections arrive at a port with TLS, or behind a proxy. Times are in milliseconds from the accept. */
export interface ArrivalsOptions {
  readonly clock: SchedulerLike;
  /** How many may arrive at a time; one more is refused as `full`. */
  readonly max: number;
  /** How long a TLS handshake may take. */
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

/** What happens to arrivals. */
export interface ArrivalsHandler {
  /** Can be handed out. */
  ready(connection: SocketConnection): void;
  refuse(connection: SocketConnection, reason: RefusalReason, error?: Error): void;
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
  /** Those that have to send a PROXY header, and all, each with the time at which its deadline is over. */
  readonly #unidentified = new IndexedQueue<Arrival>();
  readonly #all = new IndexedQueue<Arrival>();
  readonly #byConnection = new Map<SocketConnection, Arrival>();
  /** Those whose handshake has begun, or has its turn later. */
  readonly #securing = new Set<Arrival>();
  #isOpen = true;

  constructor(options: ArrivalsOptions, handler: ArrivalsHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#timer = new DeadlineTimer(options.clock, this);
  }

  get proxy(): ArrivalsOptions['proxy'] {
    return this.#options.proxy;
  }

  get hasTls(): boolean {
    return this.#options.tls !== undefined;
  }

  /** A connection was accepted. */
  accept(connection: SocketConnection, socket: TransportSocket): void {
    const { clock, max, proxy, handshake } = this.#options;
    if (!this.#isOpen) return this.#handler.refuse(connection, 'draining');
    if (this.#byConnection.size >= max) return this.#handler.refuse(connection, 'full');
    const arrival = new Arrival(connection, socket, this);
    this.#byConnection.set(connection, arrival);
    const now = clock.now();
    if (proxy) this.#unidentified.add(arrival, now + proxy.deadline);
    this.#all.add(arrival, this.hasTls ? now + handshake : Number.POSITIVE_INFINITY);
    this.#timer.set();
    arrival.begin();
  }

  /** A connection is closed, or refused. */
  leave(connection: SocketConnection): void {
    this.#byConnection.get(connection)?.leave();
  }

  /** The port is closed: refuses all. */
  close(): void {
    this.#isOpen = false;
    this.#timer.clear();
    for (let next = this.#all.first; next !== undefined; next = this.#all.first) this.#refuse(next[0], 'draining');
  }

  // What an arrival reports (ArrivalOwner) -------------------------------------------------------------------------------

  identified(arrival: Arrival): void {
    this.#unidentified.delete(arrival);
  }

  helloRead(arrival: Arrival): void {
    this.#securing.add(arrival);
    this.#handler.handshakes(1);
    this.#options.handshakes.add(() => {
      if (arrival.isOver) return false;
      arrival.connection.inContext(() => this.#secure(arrival));
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
    this.#unidentified.delete(arrival);
    this.#all.delete(arrival);
    this.#byConnection.delete(arrival.connection);
    if (this.#securing.delete(arrival)) this.#handler.handshakes(-1);
  }

  #secure(arrival: Arrival): void {
    const { tls } = this.#options;
    if (tls) arrival.secure(tls.side);
  }

  // Deadlines (DeadlineOwner) ------------------------------------------------------------------------------------------

  due(): number {
    return Math.min(this.#unidentified.due, this.#all.due);
  }

  expire(): void {
    const { clock, proxy, handshake } = this.#options;
    const now = clock.now();
    for (const arrival of overdue(this.#unidentified, now)) {
      // It may be a client of a protocol in which the server speaks first.
      if (proxy?.isRequired === false && !arrival.hasBegun) arrival.connection.inContext(() => arrival.goOn());
      else this.#refuse(arrival, 'deadline', new DeadlineError('proxy', proxy?.deadline ?? 0));
    }
    for (const arrival of overdue(this.#all, now)) {
      this.#refuse(arrival, 'deadline', new DeadlineError('handshake', handshake));
    }
    this.#timer.set();
  }

  #refuse(arrival: Arrival, reason: RefusalReason, error?: Error): void {
    arrival.leave();
    this.#handler.refuse(arrival.connection, reason, error);
  }
}

/** Those whose deadline is over. Each is removed from the queue before it is returned. */
function* overdue(queue: IndexedQueue<Arrival>, now: number): Generator<Arrival> {
  for (let first = queue.first; first !== undefined && first[1] <= now; first = queue.first) {
    queue.delete(first[0]);
    yield first[0];
  }
}
