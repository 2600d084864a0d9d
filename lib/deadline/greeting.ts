import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { watched } from './watched.ts';

/**
 * Errors when the first value is not emitted in time.
 *
 * ```text
 * source       ---------a-|       --a---------|
 * greeting(5)  -----#             --a---------|
 * ```
 *
 * @example
 * ```ts
 * const echo = (client: Connection) => client.pipe(greeting(5000), lines(), map(encodeLine), client.send());
 *
 * listen({ port: 7000 }).pipe(mergeMap((client) => echo(client).pipe(catchError(() => EMPTY)), 1000)).subscribe();
 * ```
 *
 * @param after Time from the subscription, in milliseconds.
 * @param scheduler The clock. @default the connection's own, or monotonic
 * @returns An operator that mirrors its source, or errors with {@link DeadlineError}, `greeting`.
 * @throws TypeError or RangeError for an invalid time, `undefined` included.
 */
export function greeting<T>(after: number, scheduler?: SchedulerLike): MonoTypeOperatorFunction<T> {
  return watched(
    'greeting',
    after,
    ({ started, any }) => (any ? Number.POSITIVE_INFINITY : started + after),
    scheduler,
  );
}
