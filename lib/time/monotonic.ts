import { asyncScheduler, type SchedulerLike } from 'rxjs';

/**
 * RxJS's `asyncScheduler` with a clock that never jumps: `now()` is `performance.now()`, in milliseconds since the process began.
 * The system clock may be set back by an hour; an operator that reads it would then do nothing for an hour.
 *
 * @example RxJS's own operators on that clock.
 * ```ts
 * const ticks = interval(1000, monotonic);
 *
 * serve({ port: 7000 }, () => ticks.pipe(startWith(0), map((n) => `${n}\n`))).subscribe();
 * ```
 */
export const monotonic: SchedulerLike = {
  now: () => performance.now(),
  schedule: asyncScheduler.schedule.bind(asyncScheduler) as SchedulerLike['schedule'],
};

/**
 * The default clock of an operator, chosen when it is subscribed to: {@link monotonic}, or RxJS's own while a `TestScheduler`
 * runs and has replaced it by virtual time. So marble tests control Sluice's operators without an option.
 */
export function defaultClock(): SchedulerLike {
  const isVirtual = Math.abs(asyncScheduler.now() - Date.now()) > 1000;
  return isVirtual ? asyncScheduler : monotonic;
}
