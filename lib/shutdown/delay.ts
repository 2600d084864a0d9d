import type { SchedulerLike } from 'rxjs';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

/** When a timer fires so many milliseconds late, the process did not run meanwhile. */
const LATE = 100;

/** Milliseconds by which a delay is extended at most when the process did not run. */
const MAKE_UP = 1000;

/**
 * Calls back once, after a delay. If the process did not run when the delay was over, because it was stopped or busy, the
 * delay is extended once: by as much as the timer is late, but by no more than the delay itself or a second. The process reads
 * in this time what has arrived meanwhile.
 *
 * @returns A function that cancels it.
 */
export function afterDelay(clock: SchedulerLike, delay: number, work: () => void): () => void {
  const timer = new DeadlineTimer(clock, new Delay(clock, delay, work));
  timer.set();
  return () => timer.clear();
}

class Delay implements DeadlineOwner {
  /** The process stays alive for it: if it ended in the middle of a drain, there would be no report. */
  readonly holds = true;
  readonly #clock: SchedulerLike;
  readonly #delay: number;
  readonly #work: () => void;
  #due: number;
  #madeUp = false;

  constructor(clock: SchedulerLike, delay: number, work: () => void) {
    this.#clock = clock;
    this.#delay = delay;
    this.#work = work;
    this.#due = clock.now() + delay;
  }

  due(): number {
    const now = this.#clock.now();
    const late = now - this.#due;
    if (late >= LATE && !this.#madeUp) {
      this.#madeUp = true;
      this.#due = now + Math.min(late, this.#delay, MAKE_UP);
    }
    return this.#due;
  }

  expire(): void {
    this.#due = Number.POSITIVE_INFINITY;
    this.#work();
  }
}
