import type { SchedulerLike } from 'rxjs';
import { timeSliceIsSpent } from './eventLoop.ts';

/** Values of one source in one iteration. It counts on virtual time, where an iteration has no duration. */
const VALUES = 1024;

/** How much a source of endless work may do in one event-loop iteration, before other connections are served. */
export class IterationQuota {
  readonly #clock: SchedulerLike;
  #left = VALUES;

  constructor(clock: SchedulerLike) {
    this.#clock = clock;
  }

  /** Counts one value. @returns Whether the quota is spent: the source must continue in the next iteration. */
  spend(): boolean {
    if (--this.#left > 0 && !timeSliceIsSpent(this.#clock)) return false;
    this.#left = VALUES;
    return true;
  }
}
