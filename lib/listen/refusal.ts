import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import { DeadlineError, isA } from '../errors.ts';
import type { FailedEvent, RefusalReason, RefusedEvent } from '../events.ts';
import { data } from '../options.ts';
import { Queue } from '../queue.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { IterationQuota } from '../time/iterationQuota.ts';
import { NO_HANDLER } from '../transport/noHandler.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import type { Lingering } from './lingering.ts';
import type { Registry } from './registry.ts';

/** A refusal, for a farewell that says more than the reason. */
export interface RefusalInfo {
  /** Why it is refused. */
  readonly reason: RefusalReason;
  /** The address of the client. */
  readonly peer: Address;
  /** Milliseconds that the connection had waited. */
  readonly waited: number;
  /**
   * Milliseconds after which the client may come again, as far as that can be known: the time in which as many connections as wait now
   * find a place, at the pace of the last ones; for a rate, the time until it allows one more. Up to a half of it is added at
   * random, because clients that come again together would be refused again. `undefined` for reasons that time does not change.
   */
  readonly retryAfter: number | undefined;
}

/** What is sent to a refused connection before our FIN, or a function from the reason, and the refusal, to that. */
export type Farewell = Data | ((reason: RefusalReason, refusal: RefusalInfo) => Data | undefined);

export interface RefusalOptions {
  readonly clock: SchedulerLike;
  readonly farewell: Farewell | undefined;
  readonly registry: Registry;
  /** Where refused connections stay until their sockets are closed. */
  readonly lingering: Lingering;
  readonly emit: (event: RefusedEvent | FailedEvent) => void;
  /** Milliseconds after which a peer that is refused may find a place; `undefined` if that is unknown. */
  readonly predict: (reason: RefusalReason, peer: Address) => number | undefined;
  /** How many connections a peer may have, for refusals as `per-address`. */
  readonly limit: (peer: Address) => number | undefined;
  readonly random: () => number;
}

/** Reasons for which an arrival is closed at once, although a close with unread input sends a RST. */
const AT_ONCE: ReadonlySet<RefusalReason> = new Set(['gone', 'exhausted', 'deadline', 'tls', 'proxy']);

/** The share of a predicted wait that is random. */
const JITTER = 0.5;

/** Refuses connections: counts them, sends a farewell and a FIN, lets them linger, and emits an event. */
export class Refusal {
  readonly #options: RefusalOptions;
  /** Connections whose peers left while they waited, and that are not refused yet. */
  readonly #abandoned = new Queue<SocketConnection>();

  constructor(options: RefusalOptions) {
    this.#options = options;
  }

  /** Whether a connection that is refused at accept is sent something. If not, nothing is allocated for it. */
  hasFarewell(reason: RefusalReason): boolean {
    return this.#options.farewell !== undefined && !AT_ONCE.has(reason);
  }

  /** Refuses a socket when it is accepted, and closes it at once. The registry counts it as waiting. */
  refuseAtAccept(id: number, socket: TransportSocket, reason: RefusalReason): void {
    this.#options.registry.refuseAtAccept(reason);
    socket.handler = NO_HANDLER;
    const { peer } = socket;
    socket.destroy();
    this.#emitRefused({ id, peer, waited: 0 }, reason);
  }

  /** Refuses a connection that has not sent its PROXY header, or is not secured: nothing is sent to it. */
  refuseArrival(connection: SocketConnection, reason: RefusalReason, error?: Error): void {
    if (!connection.isCountedAsWaiting) return;
    const { registry, lingering } = this.#options;
    registry.refuse(connection, reason);
    // The peer is at fault, has left, or nothing is to be kept for it. Any other client may be sending. A handshake that has begun
    // may still be completed, and then ends by close_notify.
    const linger = AT_ONCE.has(reason) ? 0 : lingering.time;
    if (linger > 0) lingering.add(connection);
    connection.dismiss(undefined, linger);
    this.#emitRefused(connection, reason, error);
  }

  /** Refuses a connection that waits. A connection that was taken or refused before is left as it is. */
  refuse(connection: SocketConnection, reason: RefusalReason): void {
    if (!connection.isCountedAsWaiting) return;
    const { registry, lingering } = this.#options;
    registry.refuse(connection, reason);
    // A connection that lingers keeps its descriptor, and a peer that has left reads no farewell.
    const linger = reason === 'exhausted' || reason === 'gone' ? 0 : lingering.time;
    if (linger > 0) lingering.add(connection);
    // Dismiss the connection before emitting the event: a subscriber may free a slot synchronously, and this connection must not
    // take it.
    connection.dismiss(linger > 0 ? this.#farewell(connection, reason) : undefined, linger);
    this.#emitRefused(connection, reason);
  }

  /**
   * Refuses a connection that waits, and whose peer has left. Not within this call: thousands may have left, and the next
   * connection would wait until all of them are closed.
   */
  refuseAbandoned(connection: SocketConnection): void {
    this.#abandoned.push(connection);
    if (this.#abandoned.size === 1) this.#refuseLater();
  }

  /** The socket of a connection that waits is closed: there is nothing left to send or to close. */
  closed(connection: SocketConnection): void {
    this.#options.registry.refuse(connection, 'gone');
    this.#emitRefused(connection, 'gone');
  }

  /** Refuses at once all connections that were to be refused later. */
  flush(): void {
    while (this.#abandoned.size > 0) this.#refuseNext();
  }

  #refuseLater(): void {
    const { clock } = this.#options;
    const quota = new IterationQuota(clock);
    const work = () => {
      while (this.#abandoned.size > 0) {
        this.#refuseNext();
        if (quota.spend()) return nextIteration(clock, work);
      }
    };
    nextIteration(clock, work);
  }

  #refuseNext(): void {
    const connection = this.#abandoned.shift();
    if (connection) this.refuse(connection, 'gone');
  }

  #farewell({ id, peer, waited }: SocketConnection, reason: RefusalReason): Data | undefined {
    const { farewell, emit, predict } = this.#options;
    if (typeof farewell !== 'function') return farewell;
    try {
      const retryAfter = this.#jittered(predict(reason, peer));
      const value = farewell(reason, { reason, peer, waited, retryAfter });
      const wrong = value === undefined ? undefined : data(value);
      if (wrong === undefined) return value;
      throw new TypeError(`Cannot send farewell: what the function returns ${wrong}`);
    } catch (error) {
      emit({ type: 'failed', id, peer, callback: 'farewell', error });
      return undefined;
    }
  }

  #jittered(wait: number | undefined): number | undefined {
    return wait === undefined || wait === Number.POSITIVE_INFINITY
      ? undefined
      : Math.ceil(wait * (1 + JITTER * this.#options.random()));
  }

  #emitRefused({ id, peer, waited, handshake }: Refused, reason: RefusalReason, error?: Error): void {
    const event: Writable<RefusedEvent> = { type: 'refused', id, peer, reason, waited };
    if (isA(error, DeadlineError)) event.deadline = error.deadline;
    if (handshake !== undefined) event.handshake = handshake;
    if (error !== undefined) event.error = error;
    if (reason === 'per-address') event.limit = this.#options.limit(peer);
    this.#options.emit(event);
  }
}

type Refused = Pick<RefusedEvent, 'id' | 'peer' | 'waited'> & { readonly handshake?: number | undefined };
type Writable<T> = { -readonly [Key in keyof T]: T[Key] };
