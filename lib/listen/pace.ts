import type { SchedulerLike } from 'rxjs';

/** The weight of the last interval in the mean. */
const WEIGHT = 0.1;

/** The pace at which connections find a place, to predict how long a wait will be. */
export class Pace {
  readonly #clock: SchedulerLike;
  #last: number | undefined;
  /** The mean interval between two, in milliseconds, in which later ones weigh more. */
  #mean: number | undefined;

  constructor(clock: SchedulerLike) {
    this.#clock = clock;
  }

  /** A connection found a place. */
  taken(): void {
    const now = this.#clock.now();
    if (this.#last !== undefined) {
      const interval = now - this.#last;
      this.#mean = this.#mean === undefined ? interval : this.#mean + (interval - this.#mean) * WEIGHT;
    }
    this.#last = now;
  }

  /** @returns Milliseconds until so many have found a place; `undefined` if fewer than two ever have. */
  wait(count: number): number | undefined {
    if (this.#mean === undefined || this.#last === undefined) return undefined;
    // If none has found one for longer than usual, the pace is at most that.
    return count * Math.max(this.#mean, this.#clock.now() - this.#last);
  }
}
