import { Observable, type Subscriber, Subscription, type Unsubscribable } from 'rxjs';
import { closeReasonOf } from '../connection/closing.ts';
import type { Connection } from '../connection/connection.ts';
import { internals } from '../connection/internals.ts';
import { PauseCause } from '../connection/pauses.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ByteSink } from '../connection/source.ts';
import { ConnectionClosedError, isA } from '../errors.ts';
import type { Closed } from '../events.ts';
import { check, milliseconds } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

/** How to relay. */
export interface RelayOptions {
  /**
   * In a drain: milliseconds without a byte in either direction after which the relay counts as finished. A relay does not know
   * what its bytes mean, so that a pause is the only boundary that it can see. @default 200
   */
  readonly pause?: number | undefined;
}

/**
 * Joins two connections: the bytes of each are written to the other.
 *
 * ```text
 * one      --a--b------|                        only its FIN is passed on: TCP is half-open then
 * other    ---------A-----B---|
 * relay    -------------------|                 when both have ended
 * ```
 *
 * **Backpressure** holds across both: while more than the `highWaterMark` of one is unsent, the other is not read. A chunk
 * is written within the read that brought it.
 *
 * When one is aborted, so is the other, with a RST, because truncated bytes must not look complete. Unsubscribing aborts each
 * connection that has not ended. In a drain, bytes flow on until there is a pause. Then the relay goes on as if the connection
 * that is asked to finish had ended.
 *
 * @example A proxy.
 * ```ts
 * const proxy = (client: Connection) => connect({ port: 7001 }).pipe(mergeMap((backend) => relay(client, backend)));
 *
 * serve({ port: 7000 }, proxy).subscribe();
 * ```
 *
 * @param one A connection that has no subscriber.
 * @param other Another one.
 * @param options See {@link RelayOptions}.
 * @returns An Observable that emits nothing, and errors with what either connection errors with.
 * @throws TypeError or RangeError for options that do not exist or are not allowed, and for what is not a connection.
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
  readonly #directions: readonly [Direction, Direction];
  readonly #pause: number;
  readonly #to: Subscriber<never>;
  readonly #timer: DeadlineTimer;
  /** What keeps both connections from ending by themselves, and observes their end. */
  readonly #holds = new Subscription();
  #isOver = false;

  constructor(one: SocketConnection, other: SocketConnection, pause: number, to: Subscriber<never>) {
    this.#directions = [new Direction(one, other, this), new Direction(other, one, this)];
    this.#pause = pause;
    this.#to = to;
    this.#timer = new DeadlineTimer(one.clock, this);
  }

  begin(): void {
    for (const { from, to } of this.#directions) {
      // Neither ends with its own input, because the other one still writes to it.
      this.#holds.add(from.retain());
      // A connection whose input has ended reports its abort only here.
      const onClosed = ({ reason, error: cause }: Closed) =>
        this.fail(to, new ConnectionClosedError(to.id, reason, { cause }));
      this.#holds.add(to.closed.subscribe(onClosed));
    }
    for (const direction of this.#directions) if (!this.#isOver) direction.begin();
  }

  /** One direction has ended. */
  ended(): void {
    if (this.#isOver || !this.#directions.every(({ isOver }) => isOver)) return;
    this.#leave();
    this.#to.complete();
  }

  /** One connection has failed: aborts the other one. */
  fail(failed: SocketConnection, error: unknown): void {
    if (this.#isOver) return;
    const fault = isA(error, ConnectionClosedError)
      ? error
      : new ConnectionClosedError(failed.id, closeReasonOf(error), { cause: error });
    this.#abort((connection) => {
      if (connection === failed) return;
      connection.closeAsFailed(fault);
      connection.abort();
    });
    this.#to.error(error);
  }

  /** Is called on every unsubscription, which is after the end as well. */
  stop(): void {
    if (!this.#isOver) this.#abort((connection) => connection.abort());
  }

  /** One connection is asked to finish. */
  drain(): void {
    this.#timer.set();
  }

  due(): number {
    if (!this.#directions.some(({ isDraining }) => isDraining)) return Number.POSITIVE_INFINITY;
    return Math.max(...this.#directions.map(({ from }) => from.watchdog.lastActivity)) + this.#pause;
  }

  expire(): void {
    this.#directions[0].from.inContext(() => {
      for (const direction of this.#directions) if (direction.isDraining) direction.end();
    });
  }

  /** Aborts the connections before they are released, because a released connection would end by itself, as completed. */
  #abort(abort: (connection: SocketConnection) => void): void {
    this.#isOver = true;
    for (const { from } of this.#directions) if (!from.over) abort(from);
    this.#leave();
  }

  #leave(): void {
    this.#isOver = true;
    this.#timer.clear();
    for (const direction of this.#directions) direction.leave();
    this.#holds.unsubscribe();
  }
}

/** The bytes from one connection to the other. */
class Direction implements ByteSink {
  readonly uncoupled = true;
  readonly from: SocketConnection;
  readonly to: SocketConnection;
  /** No more bytes go in this direction. */
  isOver = false;
  /** It ends at the next pause. */
  isDraining = false;
  readonly #relay: Relay;
  #reading: Unsubscribable | undefined;

  constructor(from: SocketConnection, to: SocketConnection, relay: Relay) {
    this.from = from;
    this.to = to;
    this.#relay = relay;
  }

  begin(): void {
    this.#reading = this.from.borrow(this);
    if (this.isOver) this.#reading.unsubscribe();
  }

  next(chunk: Uint8Array): void {
    const { from, to } = this;
    to.output.push(from.input.borrowed ? Buffer.from(chunk) : chunk);
    // Within this read, because nothing else is coming that could leave in the same write.
    to.output.flush();
    if (!to.output.congested) return;
    from.control.pause(PauseCause.handler);
    to.output.whenRoom(() => from.control.resume(PauseCause.handler));
  }

  error(error: unknown): void {
    this.isOver = true;
    this.#relay.fail(this.from, error);
  }

  complete(): void {
    this.end();
  }

  drain(): void {
    this.isDraining = true;
    this.#relay.drain();
  }

  end(): void {
    if (this.isOver) return;
    this.leave();
    this.to.halfClose();
    this.#relay.ended();
  }

  leave(): void {
    this.isOver = true;
    this.isDraining = false;
    this.#reading?.unsubscribe();
  }
}
