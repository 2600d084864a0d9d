import type { SchedulerLike } from 'rxjs';

/** The weight of the last interval in the mean. */
const WEIGHT = 0.1;

/**
 * The pace at which places become free in a full server, to predict how long a wait will be. Only the time in which no place was free
 * counts: otherwise one quiet night would be in the mean of the next morning.
 */
export class Pace {
  readonly #clock: SchedulerLike;
  /** Since when no place is free, or since when the last one was. */
  #fullSince: number | undefined;
  /** The mean time until a place is free, in milliseconds, in which later ones weigh more. */
  #mean: number | undefined;

  constructor(clock: SchedulerLike) {
    this.#clock = clock;
  }

  /** A connection found a place, or the limit has changed. @param isFull Whether no place is free now. */
  update(isFull: boolean): void {
    this.#fullSince = isFull ? (this.#fullSince ?? this.#clock.now()) : undefined;
  }

  /** A connection left its place. @param isFull Whether no place is free nevertheless. */
  freed(isFull: boolean): void {
    if (this.#fullSince !== undefined) {
      const interval = this.#clock.now() - this.#fullSince;
      this.#mean = this.#mean === undefined ? interval : this.#mean + (interval - this.#mean) * WEIGHT;
      this.#fullSince = undefined;
    }
    this.update(isFull);
  }

  /** @returns Milliseconds until so many have found a place; `undefined` if no place of a full server was ever freed. */
  wait(count: number): number | undefined {
    if (this.#mean === undefined) return undefined;
    // If none has become free for longer than usual, the pace is at most that.
    const since = this.#fullSince === undefined ? 0 : this.#clock.now() - this.#fullSince;
    return count * Math.max(this.#mean, since);
  }
}
