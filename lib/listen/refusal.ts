import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import { DeadlineError, isA } from '../errors.ts';
import type { FailedEvent, RefusalReason, RefusedEvent } from '../events.ts';
import { data } from '../options.ts';
import { Queue } from '../queue.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { IterationQuota } from '../time/iterationQuota.ts';
import type { Lingering } from './lingering.ts';
import type { Registry } from './registry.ts';

/** What is sent to a refused connection before our FIN, or a function from the reason to that. */
export type Farewell = Data | ((reason: RefusalReason) => Data | undefined);

export interface RefusalOptions {
  readonly clock: SchedulerLike;
  readonly farewell: Farewell | undefined;
  readonly registry: Registry;
  /** Where refused connections stay until their sockets are closed. */
  readonly lingering: Lingering;
  readonly emit: (event: RefusedEvent | FailedEvent) => void;
}

/** Reasons for which an arrival is closed at once, although a close with unread input sends a RST. */
const AT_ONCE: ReadonlySet<RefusalReason> = new Set(['gone', 'exhausted', 'deadline', 'tls', 'proxy']);

/** Refuses connections: counts them, sends a farewell and a FIN, lets them linger, and emits an event. */
export class Refusal {
  readonly #options: RefusalOptions;
  /** Connections whose peers left while they waited, and that are not refused yet. */
  readonly #abandoned = new Queue<SocketConnection>();

  constructor(options: RefusalOptions) {
    this.#options = options;
  }

  /** Refuses a connection that has not sent its PROXY header, or is not secured: nothing is sent to it. */
  refuseArrival(connection: SocketConnection, reason: RefusalReason, error?: Error): void {
    if (!connection.isCountedAsWaiting) return;
    const { registry, lingering } = this.#options;
    registry.refuse(connection);
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
    registry.refuse(connection);
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
    this.#options.registry.refuse(connection);
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

  #farewell({ id, peer }: SocketConnection, reason: RefusalReason): Data | undefined {
    const { farewell, emit } = this.#options;
    if (typeof farewell !== 'function') return farewell;
    try {
      const value = farewell(reason);
      const wrong = value === undefined ? undefined : data(value);
      if (wrong === undefined) return value;
      throw new TypeError(`Cannot send farewell: what the function returns ${wrong}`);
    } catch (error) {
      emit({ type: 'failed', id, peer, error });
      return undefined;
    }
  }

  #emitRefused({ id, peer, waited }: SocketConnection, reason: RefusalReason, error?: Error): void {
    const deadline = isA(error, DeadlineError) ? { deadline: error.deadline } : {};
    this.#options.emit({ type: 'refused', id, peer, reason, waited, ...deadline, ...(error && { error }) });
  }
}
