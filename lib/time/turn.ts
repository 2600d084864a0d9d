import type { SchedulerLike } from 'rxjs';
import { monotonic } from './monotonic.ts';

/** Calls back when the event loop has polled once more: what is waiting to be read or accepted comes first. */
export function afterTurn(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) setImmediate(() => setImmediate(work));
  else clock.schedule(work, 0);
}

/** Calls back at the end of this turn: in a microtask, or where time is virtual, and microtasks wait for its end, in its next action. */
export function endOfTurn(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) queueMicrotask(work);
  else clock.schedule(work, 0);
}
