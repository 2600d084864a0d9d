import { asyncScheduler, concat, NEVER, type Observable, of, repeat, type SchedulerLike, switchMap, timer } from 'rxjs';

/** The longest delay of a Node timer, in milliseconds: 25 days. A timer with a longer delay fires at once. */
const LONGEST = 0x7fffffff;

/**
 * RxJS's `timer` for a delay of any length: emits once, and completes.
 *
 * @param time Milliseconds; with `Infinity` it never emits.
 */
export function after(time: number, clock: SchedulerLike = asyncScheduler): Observable<unknown> {
  if (time === Number.POSITIVE_INFINITY) return NEVER;
  if (time <= LONGEST) return timer(time, clock);
  return timer(LONGEST, clock).pipe(switchMap(() => after(time - LONGEST, clock)));
}

/**
 * RxJS's `timer(0, time)` for a period of any length: emits at once, and then once each period.
 *
 * @param time Milliseconds; with `Infinity` it emits once.
 */
export function every(time: number, clock: SchedulerLike = asyncScheduler): Observable<unknown> {
  return time <= LONGEST ? timer(0, time, clock) : concat(of(undefined), after(time, clock).pipe(repeat()));
}
