import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { watched } from './watched.ts';

/**
 * Errors when the source is silent for too long. On a connection both directions count: a peer that only listens is not
 * idle while it is being written to.
 *
 * ```text
 * source   -a--b---------c-|
 * idle(5)  -a--b----#
 * ```
 *
 * Our own delay is not the peer's: while an `exchange` works on a request, a generator is asked for a value, or the input is
 * held back (by the body of a loop, the budget, or the turns of others), a connection is not idle. When that is over the silence
 * begins. Work that the connection cannot see, such as that of a `mergeMap`, does not count.
 *
 * Cheap: a value costs a look at the clock, not a timer.
 *
 * @param after Silence to allow, before the first value and between any two, in milliseconds.
 * @param scheduler The clock. @default the connection's own, or monotonic
 * @returns An operator that mirrors its source, or errors with {@link DeadlineError}, `idle`.
 * @throws TypeError or RangeError for what is no time, `undefined` included.
 */
export function idle<T>(after: number, scheduler?: SchedulerLike): MonoTypeOperatorFunction<T> {
  return watched('idle', after, ({ lastActivity }) => lastActivity + after, scheduler);
}
