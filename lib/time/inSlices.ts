import type { SchedulerLike } from 'rxjs';
import { nextIteration } from './eventLoop.ts';
import { IterationQuota } from './iterationQuota.ts';

/**
 * Works on many items, some in each iteration of the event loop: on fifty thousand at once, the connections that have something
 * to do would wait. It begins within the call.
 *
 * @param items Read as the work goes on, so that those that are gone by then are left out by a live set.
 */
export function inSlices<T>(clock: SchedulerLike, items: Iterable<T>, work: (item: T) => void): void {
  const iterator = items[Symbol.iterator]();
  const quota = new IterationQuota(clock);
  const go = () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) {
      work(next.value);
      if (quota.spend()) return nextIteration(clock, go);
    }
  };
  go();
}
