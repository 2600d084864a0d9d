import {
  type MonoTypeOperatorFunction,
  type Observable,
  type Observer,
  type SchedulerLike,
  Subscriber,
  type Subscription,
} from 'rxjs';
import { Bytes, borrow, controlOf, derive, LiftedBytes } from '../connection/bytes.ts';
import type { ByteSink, SourceControl } from '../connection/source.ts';
import { DeadlineError, type DeadlineName } from '../errors.ts';
import { checkArgument, milliseconds } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { defaultClock } from '../time/monotonic.ts';

/** What a deadline may look at. Moments are in milliseconds of the clock. */
export interface Seen {
  /** When the subscription was made. */
  readonly started: number;
  /**
   * When the last value came, or the subscription was made; with a connection behind it, when a byte last came or went, or our
   * own work last ended. `Infinity` while that goes on.
   */
  readonly lastActivity: number;
  /** Whether a value has come. */
  readonly any: boolean;
}

/**
 * The common part of our deadlines: mirrors the source, and errors when what is due is over.
 *
 * @param name Goes into the error.
 * @param after Goes into the error, in milliseconds.
 * @param due When it is over, given what has been seen; `Infinity` for not any more.
 * @param scheduler The clock. @default the connection's own, or monotonic
 */
export function watched<T>(
  name: DeadlineName,
  after: number,
  due: (seen: Seen) => number,
  scheduler?: SchedulerLike,
): MonoTypeOperatorFunction<T> {
  checkArgument(`set the ${name} deadline`, 'after', after, milliseconds);
  return (source) => {
    const control = controlOf(source);
    const watch = <V>(to: Target<V>, bytes?: SourceControl) =>
      new Watch<V>(
        new DeadlineError(name, after),
        due,
        scheduler ?? control?.clock ?? defaultClock(),
        to,
        control,
        bytes,
      );
    if (source instanceof Bytes && control) {
      const subscribe = (sink: ByteSink) => watch<Uint8Array>(sink, control).watch((watch) => borrow(source, watch));
      return new LiftedBytes(control, subscribe) as Observable<unknown> as Observable<T>;
    }
    return derive(source, (subscriber) =>
      watch<T>(subscriber).watch((watch) => {
        // Of the chain before it is subscribed, so that who has enough of a source that emits at once can stop it.
        const link = new Subscriber<T>(watch);
        subscriber.add(link);
        return source.subscribe(link);
      }),
    );
  };
}

type Target<T> = Observer<T> & Pick<ByteSink, 'resume' | 'drain'>;

class Watch<T> implements Observer<T>, DeadlineOwner, Seen {
  readonly started: number;
  any = false;
  readonly #error: DeadlineError;
  readonly #due: (seen: Seen) => number;
  readonly #clock: SchedulerLike;
  readonly #to: Target<T>;
  /** The connection behind the values. */
  readonly #control: SourceControl | undefined;
  /** The same, if the values are all of its bytes: then it keeps the time of the last one itself. */
  readonly #bytes: SourceControl | undefined;
  readonly #timer: DeadlineTimer;
  #lastValue: number;
  #source: Subscription | undefined;
  #over = false;
  /** It is to be told when the connection is at rest. */
  #waits = false;

  constructor(
    error: DeadlineError,
    due: (seen: Seen) => number,
    clock: SchedulerLike,
    to: Target<T>,
    control: SourceControl | undefined,
    bytes: SourceControl | undefined,
  ) {
    this.#error = error;
    this.#due = due;
    this.#clock = clock;
    this.#to = to;
    this.#control = control;
    this.#bytes = bytes;
    this.#timer = new DeadlineTimer(clock, this);
    this.started = this.#lastValue = clock.now();
  }

  get lastActivity(): number {
    if (this.#control?.busy) {
      this.#waitForRest(this.#control);
      return Number.POSITIVE_INFINITY;
    }
    if (this.#bytes === undefined) return this.#lastValue;
    const { clock, silentSince } = this.#bytes;
    // Another clock than the connection's has another zero; only what has passed is the same on both.
    const last = clock === this.#clock ? silentSince : this.#clock.now() - (clock.now() - silentSince);
    return Math.max(this.started, last);
  }

  watch(subscribe: (watch: this) => Subscription): Subscription {
    this.#timer.set();
    const source = subscribe(this);
    this.#source = source;
    source.add(() => this.#end());
    if (this.#over) source.unsubscribe();
    return source;
  }

  next(value: T): void {
    this.any = true;
    if (this.#bytes === undefined) this.#lastValue = this.#clock.now();
    this.#to.next(value);
    // A value that is worked on: the silence begins when that is over.
    if (this.#bytes === undefined && this.#control?.busy) this.#waitForRest(this.#control);
  }

  error(error: unknown): void {
    this.#end();
    this.#to.error(error);
  }

  complete(): void {
    this.#end();
    this.#to.complete();
  }

  resume(): void {
    this.#to.resume?.();
  }

  drain(): void {
    if (this.#to.drain) return this.#to.drain();
    this.#stop();
    this.#to.complete();
  }

  due(): number {
    return this.#due(this);
  }

  expire(): void {
    this.#control?.closeAs(this.#error);
    let error: unknown = this.#error;
    try {
      this.#stop();
    } catch (thrown) {
      // A teardown of the source: its fault is told, as RxJS's own `timeout` tells it.
      error = thrown;
    }
    this.#to.error(error);
  }

  /** Nothing is due before that, so that no timer need be armed. */
  #waitForRest(control: SourceControl): void {
    if (this.#waits) return;
    this.#waits = true;
    control.whenRested(() => {
      this.#waits = false;
      this.#lastValue = this.#clock.now();
      if (!this.#over) this.#timer.set();
    });
  }

  #end(): void {
    this.#over = true;
    this.#timer.clear();
  }

  #stop(): void {
    this.#over = true;
    this.#source?.unsubscribe();
  }
}
