import { type SchedulerLike, Subscription } from 'rxjs';
import { afterPoll } from './eventLoop.ts';
import { fires } from './fires.ts';
import { monotonic } from './monotonic.ts';
import { NOWHERE, type Sleeper, sharedTimer, timersAreOwn } from './sharedTimer.ts';

/** A real timer that fires later than this, in milliseconds, shows that the process was frozen. */
const FREEZE = 1000;

/** The place of a timer that will fire, and that the shared timer does not hold: it has one of its own, or is being checked. */
const ELSEWHERE = -2;

/**
 * A timer for a deadline that moves. It is armed once and re-armed lazily: moving the deadline back, as each byte or value does,
 * costs nothing. When the timer fires it computes the deadline again, and sleeps for the time that is left.
 *
 * After a freeze of the process (a suspended machine, SIGSTOP, a long garbage collection) timers run before the reads that have
 * been waiting. Every connection would then be found silent. So a real timer whose deadline has passed lets the event loop poll
 * twice, and checks the deadline again before it expires. That also spreads the expiries of many over several iterations.
 *
 * The timer does not keep the process alive, because what it watches does.
 */
export abstract class LazyTimer implements Sleeper {
  /** When it fires, in whole milliseconds of the clock, while its place is not `NOWHERE`. */
  wakesAt = 0;
  /** A timer of a fake clock is `NOWHERE`, because it may be dropped. */
  place = NOWHERE;
  /** A timer of its own, or an action of another clock. */
  #own: NodeJS.Timeout | Subscription | undefined;

  protected abstract readonly clock: SchedulerLike;

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
   * Whether all such timers share one timer of the runtime. Then `expire` is called in no async context, and has to enter its own.
   */
  protected get isShared(): boolean {
    return false;
  }

  /**
   * Arms the timer. To be called when a deadline is new, or has become earlier.
   *
   * @param due The deadline, in milliseconds of the clock, if the caller knows it. @default due()
   */
  set(due = this.due()): void {
    const at = Math.ceil(due);
    if (this.place !== NOWHERE && at >= this.wakesAt) return;
    this.clear();
    this.#arm(at);
  }

  /** Disarms the timer, until `set` is called again. */
  clear(): void {
    if (this.place >= 0) sharedTimer.remove(this);
    this.place = NOWHERE;
    const own = this.#own;
    if (own === undefined) return;
    this.#own = undefined;
    if (own instanceof Subscription) own.unsubscribe();
    else clearTimeout(own);
  }

  #arm(at: number): void {
    if (at === Number.POSITIVE_INFINITY) return;
    this.wakesAt = at;
    if (this.clock === monotonic && this.isShared && timersAreOwn()) return sharedTimer.add(this);
    // Timers of Node, and so of RxJS, have 31 bits of milliseconds. A longer wait consists of several timers.
    const delay = Math.min(Math.max(0, at - this.clock.now()), 0x7fffffff);
    if (this.clock === monotonic) {
      // Rounded up, because a timer that fires a fraction early would have to be armed once more.
      const timer = setTimeout(LazyTimer.#fired, Math.ceil(delay), this);
      this.#own = timer;
      if (!this.holds) timer.unref();
      if (!fires(timer)) return;
    } else {
      this.#own = this.clock.schedule(() => this.wake(), delay);
    }
    // Last: if no stack was left to make a timer, it counts as disarmed, and the next `set` arms it.
    this.place = ELSEWHERE;
  }

  /** Takes the timer as an argument, as `setTimeout` passes it: that saves a closure. */
  static #fired(timer: LazyTimer): void {
    timer.wake();
  }

  wake(): void {
    const { clock, wakesAt } = this;
    this.clear();
    const isReal = clock === monotonic;
    const lost = clock.now() - wakesAt;
    if (lost > FREEZE && isReal) this.forgive?.(lost);
    const due = this.due();
    if (due > clock.now()) return this.#arm(Math.ceil(due));
    if (!isReal) return this.expire();
    afterPoll(clock, () => this.place === ELSEWHERE && this.wakesAt === wakesAt && this.#check());
    this.place = ELSEWHERE;
  }

  #check(): void {
    this.place = NOWHERE;
    const due = this.due();
    if (due > this.clock.now()) this.#arm(Math.ceil(due));
    else this.expire();
  }
}
