import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { watched } from './watched.ts';

/**
 * Errors when the source does not complete in time, whatever it emits.
 *
 * ```text
 * source        -a--b--c--d-|
 * deadline(8)   -a--b--c#
 * ```
 *
 * @example A minute for each client.
 * ```ts
 * serve({ port: 7000 }, (client) => client.pipe(deadline(60_000), lines(), map(encodeLine))).subscribe();
 * ```
 *
 * @param after Time from the subscription, in milliseconds.
 * @param scheduler The clock. @default the connection's own, or monotonic
 * @returns An operator that mirrors its source, or errors with {@link DeadlineError}, `total`.
 * @throws TypeError or RangeError for an invalid time, `undefined` included.
 */
export function deadline<T>(after: number, scheduler?: SchedulerLike): MonoTypeOperatorFunction<T> {
  return watched('total', after, ({ started }) => started + after, scheduler);
}
