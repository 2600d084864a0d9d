import type { SchedulerLike } from 'rxjs';
import { monotonic } from './monotonic.ts';

/** Calls back in the next turn of the event loop: everyone else who can be served in this one is served first. */
export function nextTurn(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) setImmediate(work);
  else clock.schedule(work, 0);
}

/** Calls back when the event loop has polled once more: what waits to be read or accepted has been. */
export function afterTurn(clock: SchedulerLike, work: () => void): void {
  nextTurn(clock, () => nextTurn(clock, work));
}

/** Calls back at the end of this turn: in a microtask, or where time is virtual, and microtasks wait for its end, in its next action. */
export function endOfTurn(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) queueMicrotask(work);
  else clock.schedule(work, 0);
}
