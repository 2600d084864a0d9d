import type { SchedulerLike, Subscription } from 'rxjs';
import { fires } from './fires.ts';
import { monotonic } from './monotonic.ts';

/** A real timer that fires later than this, in milliseconds, shows that the process was frozen. */
const FREEZE = 1000;

/**
 * A timer for a deadline that moves. It is armed once and re-armed lazily: moving the deadline back, as each byte or value does,
 * costs nothing. When the timer fires it computes the deadline again, and sleeps for the time that is left.
 *
 * After a freeze of the process (a suspended machine, SIGSTOP, a long garbage collection) timers run before the reads that have
 * been waiting. Every connection would then be found silent. So a real timer whose deadline has passed lets the event loop poll
 * twice, and checks the deadline again before it expires.
 *
 * The timer does not keep the process alive, because what it watches does.
 */
export abstract class LazyTimer {
  protected readonly clock: SchedulerLike;
  /** When the timer will certainly fire. A timer of a fake clock does not count, because it may be dropped. */
  #armedFor = Number.POSITIVE_INFINITY;
  /** What is pending: the timer, one of the polls after it, or an action of another clock. */
  #timer: NodeJS.Timeout | undefined;
  #poll: NodeJS.Immediate | undefined;
  #action: Subscription | undefined;

  constructor(clock: SchedulerLike) {
    this.clock = clock;
  }

  /** The deadline, in milliseconds of the clock; `Infinity` for none. Called often: it must be cheap. */
  abstract due(): number;

  /** The deadline has passed, and still has after waiting input was read. */
  abstract expire(): void;

  /**
   * Called when the timer has fired late by this many milliseconds, because the process was suspended or too busy. Called before
   * anything expires.
   */
  forgive?(lost: number): void;

  /** Whether the timer keeps the process alive. */
  get holds(): boolean {
    return false;
  }

  /**
   * Arms the timer. To be called when a deadline is new, or has become earlier.
   *
   * @param due The deadline, in milliseconds of the clock, if the caller knows it. @default due()
   */
  set(due = this.due()): void {
    if (due >= this.#armedFor) return;
    this.clear();
    this.#arm(due);
  }

  /** Disarms the timer, until `set` is called again. */
  clear(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#poll) clearImmediate(this.#poll);
    this.#action?.unsubscribe();
    this.#timer = this.#poll = this.#action = undefined;
  }

  #arm(due: number): void {
    if (due === Number.POSITIVE_INFINITY) {
      this.clear();
      return;
    }
    this.#armedFor = due;
    // Timers of Node, and so of RxJS, have 31 bits of milliseconds. A longer wait consists of several timers.
    try {
      const delay = Math.min(Math.max(0, due - this.clock.now()), 0x7fffffff);
      if (this.clock === monotonic) {
        // Rounded up, because a timer that fires a fraction early would have to be armed once more.
        this.#timer = setTimeout(LazyTimer.#fired, Math.ceil(delay), this);
        if (!this.holds) this.#timer.unref();
        this.#rely(this.#timer);
      } else {
        this.#action = this.clock.schedule(() => LazyTimer.#fired(this), delay);
      }
    } catch (error) {
      // No stack was left to make a timer. The timer counts as disarmed, so that the next `set` arms it.
      this.#armedFor = Number.POSITIVE_INFINITY;
      throw error;
    }
  }

  /** Takes the timer as an argument, as `setTimeout` passes it. Each connection has a timer, and would need a closure as well. */
  static #fired(timer: LazyTimer): void {
    const lost = timer.clock.now() - timer.#armedFor;
    if (lost > FREEZE && timer.clock === monotonic) timer.forgive?.(lost);
    const due = timer.due();
    if (due > timer.clock.now()) timer.#arm(due);
    else if (timer.clock === monotonic) timer.#checkAfter(2);
    else timer.#expire();
  }

  /**
   * Checks the deadline again after this many polls. Its immediates keep the process alive, because an event loop with nothing
   * else to do would not wait for one that does not.
   */
  #checkAfter(polls: number): void {
    this.#poll = setImmediate(() => (polls > 1 ? this.#checkAfter(polls - 1) : this.#check()));
    this.#rely(this.#poll);
  }

  #rely(timer: object): void {
    if (!fires(timer)) this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #check(): void {
    const due = this.due();
    if (due > this.clock.now()) this.#arm(due);
    else this.#expire();
  }

  #expire(): void {
    this.clear();
    this.expire();
  }
}
