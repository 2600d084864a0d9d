import { getHeapSpaceStatistics } from 'node:v8';
import fc from 'fast-check';
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

it('knows the last one, the longest one and all in order, whatever is removed', () => {
  const step = fc.oneof(
    fc.record({ add: fc.nat(50) }),
    fc.record({ remove: fc.nat(40) }),
    fc.constant('last' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (all) => {
      const queue = new IndexedQueue<number>();
      const list: [item: number, since: number][] = [];
      let next = 0;
      for (const one of all) {
        if (one === 'last') {
          expect(queue.last).toEqual(list.at(-1));
        } else if ('add' in one) {
          list.push([next, one.add]);
          queue.add(next++, one.add);
        } else if (list.length > 0) {
          const [removed] = list.splice(one.remove % list.length, 1);
          if (removed) queue.delete(removed[0]);
        }
        const longest = Math.min(...list.map(([, since]) => since));
        expect([queue.longest?.[1] ?? Number.POSITIVE_INFINITY, [...queue], queue.size]).toEqual([
          longest,
          list,
          list.length,
        ]);
        expect(queue.first).toEqual(list[0]);
      }
    }),
  );
});

/** Steps that add items, or remove some from the front, and others from anywhere. */
const steps = fc.array(
  fc.oneof(
    fc.record({ add: fc.integer({ min: 1, max: 1500 }) }),
    fc.record({ shift: fc.integer({ min: 1, max: 1500 }) }),
    fc.record({ remove: fc.array(fc.nat(3000), { maxLength: 5 }) }),
  ),
  { maxLength: 30 },
);

it('behaves as a list from which any item can be removed, also after entries were cut off at the front', () => {
  fc.assert(
    fc.property(steps, (steps) => {
      const queue = new IndexedQueue<number>();
      let list: number[] = [];
      let next = 0;
      for (const step of steps) {
        if ('add' in step) {
          for (let i = 0; i < step.add; i++) {
            queue.add(next, next + 7);
            list.push(next++);
          }
        } else {
          const removed = 'shift' in step ? list.slice(0, step.shift) : step.remove.flatMap((at) => list[at] ?? []);
          const unique = new Set(removed);
          const deleted = [...unique].map((item) => queue.delete(item) && !queue.delete(item) && !queue.has(item));
          expect(deleted).not.toContain(false);
          list = list.filter((item) => !unique.has(item));
        }
        const [first] = list;
        expect([queue.size, queue.first]).toEqual([list.length, first === undefined ? undefined : [first, first + 7]]);
      }
      const left = list.map((item) => {
        const first = queue.first?.[0];
        return queue.has(item) && queue.delete(item) ? first : undefined;
      });
      expect(left).toEqual(list);
      expect([queue.size, queue.first]).toEqual([0, undefined]);
    }),
    // An example that cuts entries off, and then removes items of the part that was kept.
    { numRuns: 60, examples: [[[{ add: 1500 }, { shift: 1200 }, { add: 10 }, { shift: 5 }, { remove: [3, 200] }]]] },
  );
});

/** Steps behind a first item that stays: many items come and go at once, and some stay. */
const stepsBehindTheFirst = fc.array(
  fc.oneof(
    fc.record({ pass: fc.integer({ min: 1, max: 3000 }) }),
    fc.record({ add: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ remove: fc.nat(100) }),
    fc.constant('shift' as const),
  ),
  { maxLength: 25 },
);

it('behaves as a list while the first item stays and very many come and go behind it', () => {
  fc.assert(
    fc.property(stepsBehindTheFirst, (steps) => {
      const queue = new IndexedQueue<number>();
      const list: number[] = [];
      let next = 0;
      const add = () => {
        queue.add(next, next + 7);
        return next++;
      };
      list.push(add());
      for (const step of steps) {
        if (step === 'shift') {
          const first = list.shift();
          if (first !== undefined) expect(queue.delete(first)).toBe(true);
        } else if ('pass' in step) {
          let deleted = 0;
          for (let i = 0; i < step.pass; i++) if (queue.delete(add())) deleted++;
          expect(deleted).toBe(step.pass);
        } else if ('add' in step) {
          for (let i = 0; i < step.add; i++) list.push(add());
        } else if (list.length > 1) {
          const [removed] = list.splice(1 + (step.remove % (list.length - 1)), 1);
          if (removed !== undefined) expect([queue.delete(removed), queue.has(removed)]).toEqual([true, false]);
        }
        const entries = list.map((item) => [item, item + 7]);
        expect([[...queue], queue.first, queue.last]).toEqual([entries, entries[0], entries.at(-1)]);
        expect([queue.size, queue.longest?.[0]]).toEqual([list.length, list[0]]);
      }
      for (const item of list) expect(queue.delete(item)).toBe(true);
      expect([queue.size, [...queue]]).toEqual([0, []]);
    }),
    // Removes items from a queue whose entries have moved, and then from its front.
    { numRuns: 60, examples: [[[{ add: 5 }, { pass: 3000 }, { add: 3 }, { remove: 5 }, 'shift', { pass: 3000 }]]] },
  );
});
