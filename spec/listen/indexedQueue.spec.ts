import { getHeapSpaceStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { IndexedQueue } from '../../lib/listen/indexedQueue.ts';

/** Bytes in arrays that are too long for an ordinary page of V8. */
const largeObjects = () =>
  getHeapSpaceStatistics()
    .filter(({ space_name }) => space_name.includes('large_object'))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);

it('keeps no entries of removed items, though `first` is never read', () => {
  const queue = new IndexedQueue<number>();
  const before = largeObjects();
  for (let item = 0; item < 500_000; item++) {
    queue.add(item, 0);
    queue.delete(item);
  }
  expect(largeObjects() - before).toBeLessThan(1024 * 1024);
  queue.add(-1, 7);
  expect([queue.size, queue.first]).toEqual([1, [-1, 7]]);
});
