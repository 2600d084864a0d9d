import { asyncScheduler, type SchedulerLike } from 'rxjs';

/**
 * RxJS's `asyncScheduler` with a clock that never jumps: `now()` is `performance.now()`, in milliseconds since the
 * process began. The wall clock may be set back an hour, and an operator that asks it is then silent for an hour.
 */
export const monotonic: SchedulerLike = {
  now: () => performance.now(),
  schedule: asyncScheduler.schedule.bind(asyncScheduler) as SchedulerLike['schedule'],
};

/**
 * The clock to use by default, chosen on subscription: {@link monotonic}, or RxJS's own while a `TestScheduler` runs
 * and has put virtual time in its place, so that marbles drive our operators with nothing to hand in.
 */
export function defaultClock(): SchedulerLike {
  const virtual = Math.abs(asyncScheduler.now() - Date.now()) > 1000;
  return virtual ? asyncScheduler : monotonic;
}
