import { getHeapSpaceStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { IndexedQueue } from '../../lib/listen/indexedQueue.ts';

/** Bytes in arrays that are too long for V8's ordinary pages. */
const long = () =>
  getHeapSpaceStatistics()
    .filter(({ space_name }) => space_name.includes('large_object'))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);

it('keeps no places of those who have left, though nobody asks who is first', () => {
  const line = new IndexedQueue<number>();
  const before = long();
  for (let item = 0; item < 500_000; item++) {
    line.add(item, 0);
    line.delete(item);
  }
  expect(long() - before).toBeLessThan(1024 * 1024);
  line.add(-1, 7);
  expect([line.size, line.first]).toEqual([1, [-1, 7]]);
});
