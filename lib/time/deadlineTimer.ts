import type { SchedulerLike, Subscription } from 'rxjs';
import { fires } from './fires.ts';
import { monotonic } from './monotonic.ts';

/** What an {@link DeadlineTimer} watches over. */
export interface DeadlineOwner {
  /** When something is due, in milliseconds of the clock; `Infinity` for never. Asked often: it must be cheap. */
  due(): number;
  /** A timer has gone off late, by this many milliseconds: the process was stopped, or too busy. Asked before anything expires. */
  forgive?(lost: number): void;
  /** It is due now, and was still due after what had been waiting to be read was read. */
  expire(): void;
  /** Whether the process goes on for it where nothing else keeps it. @default false */
  readonly holds?: boolean;
}

/** A real timer that goes off later than this, in milliseconds, tells of a freeze. */
const FREEZE = 1000;

/**
 * A timer that is armed once and re-armed lazily. What pushes the due time back (a byte, a value) costs nothing: when
 * the timer goes off it asks again, and sleeps for what is left.
 *
 * After a freeze of the process (a paused machine, SIGSTOP, a long garbage collection) timers run before the reads that
 * have been waiting, and everyone would be found silent. So a real timer that finds its time over lets the event loop
 * poll, twice, and looks again before it tells anybody.
 *
 * It does not keep the process alive: what it watches over does.
 */
export class DeadlineTimer {
  readonly #clock: SchedulerLike;
  readonly #owner: DeadlineOwner;
  /** When the alarm goes off for certain; a timer that may be dropped does not count. */
  #armedFor = Number.POSITIVE_INFINITY;
  /** What is under way: the timer, one of the turns behind it, or an action of another clock. */
  #timer: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;
  #action: Subscription | undefined;

  constructor(clock: SchedulerLike, owner: DeadlineOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /**
   * Says that what is due may have come nearer, or have come to be.
   *
   * @param due When that is, in milliseconds of the clock, where it is known. @default what the owner says
   */
  set(due = this.#owner.due()): void {
    if (due >= this.#armedFor) return;
    this.clear();
    this.#arm(due);
  }

  /** Forgets everything; `set` begins anew. */
  clear(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#turn) clearImmediate(this.#turn);
    this.#action?.unsubscribe();
    this.#timer = this.#turn = this.#action = undefined;
  }

  #arm(due: number): void {
    if (due === Number.POSITIVE_INFINITY) {
      this.clear();
      return;
    }
    this.#armedFor = due;
    // Node's timers, and so RxJS's, hold 31 bits of milliseconds; a longer wait is a few short ones, as looking again costs
    // nothing.
    try {
      const delay = Math.min(Math.max(0, due - this.#clock.now()), 0x7fffffff);
      if (this.#clock === monotonic) {
        // Rounded up: a timer that goes off a fraction early would find itself early and go round again.
        this.#timer = setTimeout(DeadlineTimer.#fired, Math.ceil(delay), this);
        if (this.#owner.holds !== true) this.#timer.unref();
        this.#rely(this.#timer);
      } else {
        this.#action = this.#clock.schedule(() => DeadlineTimer.#fired(this), delay);
      }
    } catch (error) {
      // There was no stack left to make a timer: it is not armed, so that the next `set` arms it.
      this.#armedFor = Number.POSITIVE_INFINITY;
      throw error;
    }
  }

  /** Takes the alarm as an argument, as timers hand it on: there is one for each connection, and a closure would be, too. */
  static #fired(timer: DeadlineTimer): void {
    const lost = timer.#clock.now() - timer.#armedFor;
    if (lost > FREEZE && timer.#clock === monotonic) timer.#owner.forgive?.(lost);
    const due = timer.#owner.due();
    if (due > timer.#clock.now()) timer.#arm(due);
    else if (timer.#clock === monotonic) timer.#poll(2);
    else timer.#expire();
  }

  /** These turns keep the process alive: an event loop with nothing else to do sleeps over an immediate that does not. */
  #poll(turns: number): void {
    this.#turn = setImmediate(() => (turns > 1 ? this.#poll(turns - 1) : this.#lookAgain()));
    this.#rely(this.#turn);
  }

  #rely(timer: object): void {
    if (!fires(timer)) this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #lookAgain(): void {
    const due = this.#owner.due();
    if (due > this.#clock.now()) this.#arm(due);
    else this.#expire();
  }

  #expire(): void {
    this.clear();
    this.#owner.expire();
  }
}
