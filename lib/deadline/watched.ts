import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { Operation, operate, type Sink } from '../connection/operation.ts';
import type { SourceControl } from '../connection/source.ts';
import { DeadlineError, type DeadlineName } from '../errors.ts';
import { checkArgument, milliseconds } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { defaultClock } from '../time/monotonic.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** What a deadline may depend on. Moments are in milliseconds of the clock. */
export interface Seen {
  /** When the subscription was made. */
  readonly started: number;
  /**
   * When the last value was emitted, or the subscription made; with a connection behind it, when a byte was last received or
   * sent, or the connection's own work last ended. `Infinity` while that work goes on.
   */
  readonly lastActivity: number;
  /** Whether a value has been emitted. */
  readonly any: boolean;
}

/**
 * The common part of our deadlines: mirrors the source, and errors at the moment that `due` returns. A value costs no timer: when
 * the timer fires, it asks `due` again.
 *
 * @param name Of the deadline, for the error.
 * @param after Of the deadline, for the error, in milliseconds.
 * @param due When it is missed, given what has been seen; `Infinity` if it cannot be missed as things are.
 * @param scheduler The clock. @default the connection's own, or monotonic
 */
export function watched<T>(
  name: DeadlineName,
  after: number,
  due: (seen: Seen) => number,
  scheduler?: SchedulerLike,
): MonoTypeOperatorFunction<T> {
  checkArgument(`set the ${name} deadline`, 'after', after, milliseconds);
  return (source) =>
    operate(source, (sink, control, isInPlace) => {
      const clock = scheduler ?? control?.clock ?? defaultClock();
      return new Watch<T>(sink, new DeadlineError(name, after), due, clock, control, isInPlace);
    });
}

class Watch<T> extends Operation<T> implements DeadlineOwner, Seen {
  readonly started: number;
  any = false;
  readonly #error: DeadlineError;
  readonly #due: (seen: Seen) => number;
  readonly #clock: SchedulerLike;
  /** The connection behind the values. */
  readonly #control: SourceControl | undefined;
  /** The same if the values are all of its bytes: the connection itself knows then when the last one was received or sent. */
  readonly #bytes: SourceControl | undefined;
  readonly #timer: DeadlineTimer;
  #lastValue: number;
  #waitsForRest = false;

  constructor(
    sink: Sink<T>,
    error: DeadlineError,
    due: (seen: Seen) => number,
    clock: SchedulerLike,
    control: SourceControl | undefined,
    isAllBytes: boolean,
  ) {
    super(sink);
    this.#error = error;
    this.#due = due;
    this.#clock = clock;
    this.#control = control;
    this.#bytes = isAllBytes ? control : undefined;
    this.started = this.#lastValue = clock.now();
    this.#timer = new DeadlineTimer(clock, this);
    this.#timer.set();
  }

  next(value: T): void {
    this.any = true;
    if (this.#bytes !== undefined) return this.sink.next(value);
    this.#lastValue = this.#clock.now();
    this.sink.next(value);
    // The handler still works on the value: the silence begins when that work ends.
    if (this.#control?.busy) this.#waitForRest(this.#control);
  }

  get lastActivity(): number {
    if (this.#control?.busy) {
      this.#waitForRest(this.#control);
      return NEVER;
    }
    if (this.#bytes === undefined) return this.#lastValue;
    const { clock, silentSince } = this.#bytes;
    // Another clock than the connection's has another zero. Only a difference of two moments is the same on both.
    const last = clock === this.#clock ? silentSince : this.#clock.now() - (clock.now() - silentSince);
    return Math.max(this.started, last);
  }

  due(): number {
    return this.#due(this);
  }

  expire(): void {
    if (this.#control) this.#control.inContext(() => this.#expire());
    else this.#expire();
  }

  #expire(): void {
    this.#control?.closeAs(this.#error);
    let error: unknown = this.#error;
    try {
      this.stop();
    } catch (thrown) {
      // A teardown of the source failed. Its error is emitted instead, as RxJS's own `timeout` does.
      error = thrown;
    }
    this.sink.error(error);
  }

  protected override finalize(): void {
    this.#timer.clear();
  }

  /** Nothing is due while the connection is busy, so no timer is armed. */
  #waitForRest(control: SourceControl): void {
    if (this.#waitsForRest) return;
    this.#waitsForRest = true;
    control.whenRested(() => {
      this.#waitsForRest = false;
      this.#lastValue = this.#clock.now();
      if (!this.isOver) this.#timer.set();
    });
  }
}
