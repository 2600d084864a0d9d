import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { watched } from './watched.ts';

/**
 * Errors when the source is silent for too long. On a connection both directions count: a peer that only reads is not idle while
 * output is sent to it.
 *
 * ```text
 * source   -a--b---------c-|
 * idle(5)  -a--b----#
 * ```
 *
 * A delay of ours is not the peer's. So a connection is not idle while an `exchange` works on a request, a generator is asked
 * for a value, or the input is paused: by the body of a loop, an operator, the budget, or a yield to other connections. When
 * that is over, the silence begins. Work that the connection cannot see, such as that of a `mergeMap`, does not count.
 *
 * A value costs one read of the clock, not a timer.
 *
 * @example
 * ```ts
 * const echo = (client: Connection) => client.pipe(idle(30_000), lines(), map(encodeLine), client.send());
 *
 * listen({ port: 7000 }).pipe(mergeMap((client) => echo(client).pipe(catchError(() => EMPTY)), 1000)).subscribe();
 * ```
 *
 * @param after The longest silence that is allowed, before the first value and between any two, in milliseconds.
 * @param scheduler The clock. @default the connection's own, or monotonic
 * @returns An operator that mirrors its source, or errors with {@link DeadlineError}, `idle`.
 * @throws TypeError or RangeError for an invalid time, `undefined` included.
 */
export function idle<T>(after: number, scheduler?: SchedulerLike): MonoTypeOperatorFunction<T> {
  return watched('idle', after, ({ lastActivity }) => lastActivity + after, scheduler);
}
