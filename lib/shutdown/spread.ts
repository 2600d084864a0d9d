import type { SchedulerLike } from 'rxjs';
import { nextIteration } from '../time/eventLoop.ts';
import { IterationQuota } from '../time/iterationQuota.ts';
import { afterDelay } from './delay.ts';

export interface SpreadOptions {
  readonly clock: SchedulerLike;
  /** Milliseconds over which to spread the work. */
  readonly time: number;
  /** Milliseconds after which all of it is done, also if the process did not run for a while. */
  readonly limit: number;
}

/** Milliseconds between two steps, if the items are closer together. */
const STEP = 10;

/** Milliseconds by which a step may be late. If it is later, the process did not run meanwhile. */
const LATE = 100;

/** A position is a sum of fractions: an item whose turn has come may be short of it by so much. */
const ROUNDING = 1e-6;

/**
 * Works on items one by one, evenly over a time: on the first at once, and on item `i` of `n` after `i / n` of the time.
 *
 * ```text
 * items   abcd
 * work    a----b----c----d-----|      of 20 ms
 *         a----b - - - - - -c----d    the process did not run for a while
 * ```
 *
 * One timer, for the next step. Where the process did not run, the rest is spread over the time that is left, and the end moves
 * back by the time that was lost, though not beyond the limit: what is late is not done all at once.
 */
export class Spread<T> {
  readonly #clock: SchedulerLike;
  readonly #items: readonly T[];
  readonly #work: (item: T) => void;
  readonly #quota: IterationQuota;
  readonly #limit: number;
  #end: number;
  /** The turn of how many items has come: a number with a fraction, at the time of the last step. */
  #position = 0;
  #steppedAt: number;
  /** Milliseconds from that step to the next. */
  #wait = 0;
  /** How many items are done. */
  #done = 0;
  #cancelTimer: (() => void) | undefined;
  #isOver = false;

  /** It begins within the call. */
  constructor({ clock, time, limit }: SpreadOptions, items: readonly T[], work: (item: T) => void) {
    this.#clock = clock;
    this.#items = items;
    this.#work = work;
    this.#quota = new IterationQuota(clock);
    this.#steppedAt = clock.now();
    this.#end = this.#steppedAt + time;
    this.#limit = this.#steppedAt + limit;
    this.#go();
  }

  cancel(): void {
    this.#isOver = true;
    this.#cancelTimer?.();
  }

  /** Works on all whose turn has come: some in each iteration of the event loop, if they are very many. */
  #go = (): void => {
    const due = Math.floor(this.#position + ROUNDING) + 1;
    while (this.#done < due && this.#done < this.#items.length) {
      if (this.#isOver) return;
      this.#work(this.#items[this.#done++] as T);
      if (this.#quota.spend()) return nextIteration(this.#clock, this.#go);
    }
    if (this.#isOver || this.#done === this.#items.length) return;
    const rate = (this.#items.length - this.#position) / (this.#end - this.#steppedAt);
    const now = this.#clock.now();
    this.#wait = Math.max(STEP, this.#steppedAt + (due - this.#position) / rate - now) + now - this.#steppedAt;
    this.#cancelTimer = afterDelay(this.#clock, this.#steppedAt + this.#wait - now, () => this.#step());
  };

  #step(): void {
    const now = this.#clock.now();
    const passed = now - this.#steppedAt;
    const counted = Math.min(passed, this.#wait + LATE);
    const left = this.#items.length - this.#position;
    this.#position += (left * counted) / (this.#end - this.#steppedAt);
    this.#end = Math.min(this.#end + passed - counted, this.#limit);
    if (now >= this.#end) this.#position = this.#items.length;
    this.#steppedAt = now;
    this.#go();
  }
}
