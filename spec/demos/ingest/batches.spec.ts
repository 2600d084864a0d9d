import fc from 'fast-check';
import { defer, map, mergeMap, NEVER, type Observable, of, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import { Batches } from '../../../demos/ingest/batches.ts';
import { marbles } from '../../support/marbles.ts';

const upper = (batch: readonly string[]) => batch.map((item) => item.toUpperCase());

describe('batches', () => {
  it(
    'gather items, are written one at a time, and emit to each caller the result of its item',
    marbles(({ hot, expectObservable, clock, flush }) => {
      const wrote: string[] = [];
      const write = (batch: readonly string[]) => {
        wrote.push(`${clock.now()} ${batch.join('')}`);
        return timer(4, clock).pipe(map(() => upper(batch)));
      };
      const batches = new Batches(write, { gather: 2, clock });
      const items = '   -ab---c--------|';
      const expected = '-------(AB)C---|';
      expectObservable(hot(items).pipe(mergeMap((item) => batches.put(item)))).toBe(expected);
      flush();
      // Items that arrive during a write are written right after it, because they have waited long enough.
      expect(wrote).toEqual(['3 ab', '7 c']);
    }),
  );

  it(
    'are written at once when they are full',
    marbles(({ hot, expectObservable, clock }) => {
      const batches = new Batches((batch: readonly string[]) => of(upper(batch)), { size: 2, gather: 100, clock });
      const items = '   -a--b---|';
      const expected = '----(AB)|';
      expectObservable(hot(items).pipe(mergeMap((item) => batches.put(item)))).toBe(expected);
    }),
  );

  it(
    'that fail are written again, as a whole, until they succeed, and report the reason',
    marbles(({ hot, cold, expectObservable, clock }) => {
      let attempts = 0;
      const write = (batch: readonly string[]) =>
        ++attempts < 4 ? cold<string[]>('-#', undefined, new Error('disk full')) : of(upper(batch));
      const batches = new Batches(write, { gather: 0, clock });
      // Attempts at 1, 52, 153 and 354: the pauses are 50, 100 and 200.
      expectObservable(hot('-a').pipe(mergeMap((item) => batches.put(item)))).toBe('354ms A');
      expectObservable(batches.trouble).toBe('u-t 351ms u', {
        u: undefined,
        t: 'the store cannot be written: disk full',
      });
    }),
  );

  it(
    'that take long are reported as slow until they are written',
    marbles(({ hot, expectObservable, clock }) => {
      const write = (batch: readonly string[]) => timer(9, clock).pipe(map(() => upper(batch)));
      const batches = new Batches(write, { gather: 0, patience: 4, clock });
      expectObservable(hot('-a').pipe(mergeMap((item) => batches.put(item)))).toBe('----------A');
      expectObservable(batches.trouble).toBe('u----s----u', { u: undefined, s: 'the store is slow' });
    }),
  );

  it('write each item once and in order, within the size of a batch, for any arrivals and failures', () => {
    const plan = fc.record({
      times: fc.array(fc.nat(200), { maxLength: 60 }),
      failures: fc.array(fc.boolean(), { maxLength: 20 }),
      size: fc.integer({ min: 1, max: 10 }),
      gather: fc.nat(20),
      takes: fc.nat(30),
    });
    fc.assert(
      fc.property(plan, ({ times, failures, size, gather, takes }) => {
        const clock = new TestScheduler(() => undefined);
        const wrote: number[] = [];
        const emitted: number[] = [];
        let writing = 0;
        clock.run(({ flush }) => {
          let attempt = 0;
          const write = (batch: readonly number[]) =>
            defer(() => {
              expect(++writing).toBe(1);
              expect(batch.length).toBeLessThanOrEqual(size);
              const fails = failures[attempt++] === true;
              return timer(takes, clock).pipe(
                map(() => {
                  writing--;
                  if (fails) throw new Error('no');
                  wrote.push(...batch);
                  return batch;
                }),
              );
            });
          const batches = new Batches(write, { size, gather, clock });
          for (const [item, time] of times.sort((a, b) => a - b).entries()) {
            clock.schedule(() => {
              batches.put(item).subscribe((result) => {
                expect(wrote).toContain(result);
                emitted.push(result);
              });
            }, time);
          }
          flush();
        });
        expect(wrote).toEqual(times.map((_, i) => i));
        expect(emitted).toEqual(wrote);
      }),
    );
  });

  it('write an item even if its subscriber has unsubscribed', () => {
    const clock = new TestScheduler(() => undefined);
    clock.run(({ flush }) => {
      const wrote: string[] = [];
      const batches = new Batches(
        (batch: readonly string[]) => {
          wrote.push(...batch);
          return of(batch);
        },
        { clock },
      );
      batches.put('a').subscribe().unsubscribe();
      flush();
      expect(wrote).toEqual(['a']);
    });
  });

  it('return the items that are not written when they are stopped, and are settled then', async () => {
    const emitted: string[] = [];
    const batches = new Batches((_: readonly string[]): Observable<readonly string[]> => NEVER, { size: 2 });
    for (const item of ['a', 'b', 'c']) batches.put(item).subscribe((result) => emitted.push(result));
    const settled = batches.settled();
    expect(batches.stop()).toEqual(['a', 'b', 'c']);
    await settled;
    expect(emitted).toEqual([]);
  });
});
