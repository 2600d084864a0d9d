import type { SchedulerLike } from 'rxjs';
import { timeSliceIsSpent } from './eventLoop.ts';

/** Values of one source in one turn, where the turns have no length: on virtual time. */
const VALUES = 1024;

/** What a source that could go on for ever may do before it is the others' turn. */
export class TurnQuota {
  readonly #clock: SchedulerLike;
  #left = VALUES;

  constructor(clock: SchedulerLike) {
    this.#clock = clock;
  }

  /** Counts one value. @returns Whether that was enough: whoever goes on does so in the next turn. */
  spend(): boolean {
    if (--this.#left > 0 && !timeSliceIsSpent(this.#clock)) return false;
    this.#left = VALUES;
    return true;
  }
}
