import type { SchedulerLike } from 'rxjs';
import { LazyTimer } from './lazyTimer.ts';

/** The owner of a {@link DeadlineTimer}: it knows the deadline, and acts when it has passed. */
export interface DeadlineOwner {
  /** The deadline, in milliseconds of the clock; `Infinity` for none. Called often: it must be cheap. */
  due(): number;
  /**
   * Called when the timer has fired late by this many milliseconds, because the process was suspended or too busy. Called before
   * anything expires.
   */
  forgive?(lost: number): void;
  /** The deadline has passed, and still has after waiting input was read. */
  expire(): void;
  /** Whether the timer keeps the process alive. @default false */
  readonly holds?: boolean;
}

/** A {@link LazyTimer} whose deadline another object knows. */
export class DeadlineTimer extends LazyTimer {
  protected readonly clock: SchedulerLike;
  readonly #owner: DeadlineOwner;

  constructor(clock: SchedulerLike, owner: DeadlineOwner) {
    super();
    this.clock = clock;
    this.#owner = owner;
  }

  due(): number {
    return this.#owner.due();
  }

  expire(): void {
    this.#owner.expire();
  }

  override forgive(lost: number): void {
    this.#owner.forgive?.(lost);
  }

  override get holds(): boolean {
    return this.#owner.holds === true;
  }
}
