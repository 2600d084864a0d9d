import type { SchedulerLike } from 'rxjs';

/** Values of one source in one turn of the event loop, and milliseconds, looked at each so many values. */
const VALUES = 1024;
const TIME = 5;
const LOOK_EACH = 32;

/** What one of many may do in a turn of the event loop, before it is the others' turn. */
export class Share {
  readonly #clock: SchedulerLike;
  #left = VALUES;
  #began = Number.POSITIVE_INFINITY;

  constructor(clock: SchedulerLike) {
    this.#clock = clock;
  }

  /** Counts one value. @returns Whether that was enough: whoever goes on does so in the next turn, with a new share. */
  spend(): boolean {
    if (--this.#left % LOOK_EACH !== 0) return false;
    const now = this.#clock.now();
    this.#began = Math.min(this.#began, now);
    if (this.#left > 0 && now - this.#began < TIME) return false;
    this.#left = VALUES;
    this.#began = Number.POSITIVE_INFINITY;
    return true;
  }
}
