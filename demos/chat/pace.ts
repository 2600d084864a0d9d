import { ignoreElements, type Observable, type SchedulerLike, timer } from 'rxjs';
import { monotonic } from '../../lib/index.ts';

/**
 * How fast somebody may speak: so many lines a second, after a burst of twice as many. Who is faster is held back by his own
 * TCP, and loses nothing; his flood would else cut off all who read more slowly than he writes.
 */
export class Pace {
  readonly #rate: number;
  readonly #scheduler: SchedulerLike;
  /** When the lines so far would have been spoken at the even pace, in milliseconds of the clock. */
  #until = 0;

  /** @param rate Lines a second; `Infinity` for no limit. */
  constructor(rate: number, scheduler: SchedulerLike = monotonic) {
    this.#rate = rate;
    this.#scheduler = scheduler;
  }

  /** Counts a line. @returns What to await before the next one, if anything. */
  next(): Observable<never> | undefined {
    const now = this.#scheduler.now();
    this.#until = Math.max(this.#until, now) + 1000 / this.#rate;
    // The burst is two seconds' worth.
    const wait = this.#until - now - 2000;
    return wait > 0 ? timer(wait, this.#scheduler).pipe(ignoreElements()) : undefined;
  }
}
