import { Observable, type Subscriber, Subscription } from 'rxjs';
import { closeReason } from '../connection/closeReason.ts';
import type { Connection } from '../connection/connection.ts';
import { PauseCause } from '../connection/pauses.ts';
import { internals, type SocketConnection } from '../connection/socketConnection.ts';
import type { ByteSink } from '../connection/source.ts';
import { ConnectionClosedError, isA } from '../errors.ts';
import type { Closed } from '../events.ts';
import { check, milliseconds } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

/** How to relay. */
export interface RelayOptions {
  /**
   * How long nothing may have moved, either way, for a connection that is asked to finish to be taken for done, in
   * milliseconds: in bytes of which nobody knows what they mean, a pause is the only boundary there is. @default 200
   */
  readonly pause?: number | undefined;
}

/**
 * Joins two connections: what comes from the one is written to the other, both ways.
 *
 * ```text
 * one      --a--b------|                        its FIN is passed on, and not more: TCP is half-open then
 * other    ---------A-----B---|
 * relay    -------------------|                 when both have ended
 * ```
 *
 * **Backpressure** holds across both: while more than the `highWaterMark` of one is unsent, the other is not read. A chunk
 * is handed on within the read that brought it.
 *
 * When one is broken off, so is the other, with a RST: what was cut short is not to look complete. Unsubscribing breaks off
 * whichever has not ended. In a drain bytes flow on until there is a pause; then it is as if the one that is asked to finish
 * had ended.
 *
 * @example A proxy.
 * serve({ port: 7000 }, (client) => connect({ port: 7001 }).pipe(mergeMap((backend) => relay(client, backend))));
 *
 * @param one A connection that nobody has subscribed.
 * @param other Another.
 * @param options See {@link RelayOptions}.
 * @returns An Observable that emits nothing, and errors with what either connection errors with.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function relay(one: Connection, other: Connection, options: RelayOptions = {}): Observable<never> {
  const { pause = 200 } = check('relay', options, { pause: milliseconds });
  const ends = [internals(one, 'relay'), internals(other, 'relay')] as const;
  return new Observable((subscriber) => {
    const relay = new Relay(...ends, pause, subscriber);
    relay.begin();
    return () => relay.stop();
  });
}

class Relay implements DeadlineOwner {
  readonly #ways: readonly [Way, Way];
  readonly #pause: number;
  readonly #to: Subscriber<never>;
  readonly #timer: DeadlineTimer;
  readonly #held = new Subscription();
  #over = false;

  constructor(one: SocketConnection, other: SocketConnection, pause: number, to: Subscriber<never>) {
    this.#ways = [new Way(one, other, this), new Way(other, one, this)];
    this.#pause = pause;
    this.#to = to;
    this.#timer = new DeadlineTimer(one.clock, this);
  }

  begin(): void {
    for (const { from, to } of this.#ways) {
      // Neither ends with its input alone: it is still written to.
      this.#held.add(from.retain());
      // Whoever is not read any more would break unheard.
      const gone = ({ reason, error: cause }: Closed) =>
        this.broken(to, new ConnectionClosedError(to.id, reason, { cause }));
      this.#held.add(to.closed.subscribe(gone));
    }
    for (const way of this.#ways) if (!this.#over) way.begin();
  }

  /** One way has come to its end. */
  ended(): void {
    if (this.#over || !this.#ways.every(({ over }) => over)) return;
    this.#leave();
    this.#to.complete();
  }

  /** A connection is broken, and the other one with it. */
  broken(who: SocketConnection, error: unknown): void {
    if (this.#over) return;
    const fault = isA(error, ConnectionClosedError)
      ? error
      : new ConnectionClosedError(who.id, closeReason(error), { cause: error });
    this.#breakOff((connection) => {
      if (connection === who) return;
      connection.closeAsFailed(fault);
      connection.abort();
    });
    this.#to.error(error);
  }

  /** Nobody listens any more. */
  stop(): void {
    if (!this.#over) this.#breakOff((connection) => connection.abort());
  }

  /** Somebody is asked to finish. */
  drain(): void {
    this.#timer.set();
  }

  due(): number {
    if (!this.#ways.some(({ draining }) => draining)) return Number.POSITIVE_INFINITY;
    return Math.max(...this.#ways.map(({ from }) => from.lastActivity)) + this.#pause;
  }

  expire(): void {
    for (const way of this.#ways) if (way.draining) way.end();
  }

  /** Before they are let go of: one that is would end by itself, in good order. */
  #breakOff(how: (connection: SocketConnection) => void): void {
    this.#over = true;
    for (const { from } of this.#ways) if (!from.over) how(from);
    this.#leave();
  }

  #leave(): void {
    this.#over = true;
    this.#timer.clear();
    for (const way of this.#ways) way.leave();
    this.#held.unsubscribe();
  }
}

/** One direction. */
class Way implements ByteSink {
  readonly uncoupled = true;
  readonly from: SocketConnection;
  readonly to: SocketConnection;
  /** Nothing more goes this way. */
  over = false;
  /** It is to end at the next pause. */
  draining = false;
  readonly #relay: Relay;
  #reading: Subscription | undefined;

  constructor(from: SocketConnection, to: SocketConnection, relay: Relay) {
    this.from = from;
    this.to = to;
    this.#relay = relay;
  }

  begin(): void {
    this.#reading = this.from.borrow(this);
    if (this.over) this.#reading.unsubscribe();
  }

  next(chunk: Uint8Array): void {
    const { from, to } = this;
    to.push(from.borrowed ? Buffer.from(chunk) : chunk);
    // Within this read: there is nothing to wait for that could leave together with it.
    to.flush();
    if (!to.congested) return;
    from.pause(PauseCause.handler);
    to.whenRoom(() => from.resume(PauseCause.handler));
  }

  error(error: unknown): void {
    this.over = true;
    this.#relay.broken(this.from, error);
  }

  complete(): void {
    this.end();
  }

  drain(): void {
    this.draining = true;
    this.#relay.drain();
  }

  end(): void {
    if (this.over) return;
    this.leave();
    this.to.halfClose();
    this.#relay.ended();
  }

  leave(): void {
    this.over = true;
    this.draining = false;
    this.#reading?.unsubscribe();
  }
}
