import fc from 'fast-check';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import type { Reading } from '../../../demos/ingest/reading.ts';
import { OTHERS, type Window, windows } from '../../../demos/ingest/windows.ts';
import { marbles } from '../../support/marbles.ts';

/** A reading, and the time of its arrival. */
interface Arrival {
  readonly time: number;
  readonly reading: Reading;
}

/** A window, and the time at which it was emitted. */
type Emitted = readonly [time: number, window: Window];

/** The windows that the operator emits, on virtual time. */
function observed(arrivals: readonly Arrival[], width: number, lateness: number, most = 1000): Emitted[] {
  const emitted: Emitted[] = [];
  const clock = new TestScheduler(() => undefined);
  clock.run(({ hot, flush }) => {
    const source = hot<Reading>('-');
    source.pipe(windows({ width, lateness, most, clock })).subscribe((window) => emitted.push([clock.now(), window]));
    for (const { time, reading } of arrivals) clock.schedule(() => source.next(reading), time);
    flush();
  });
  return emitted;
}

/** The same windows from a model, which groups all readings at once. */
function modelled(arrivals: readonly Arrival[], width: number, lateness: number): Emitted[] {
  const cells = new Map<string, { device: string; start: number; values: number[]; late: number }>();
  for (const { time, reading } of arrivals) {
    const measured = Math.min(reading.at, time);
    const own = measured - (measured % width);
    const late = time >= own + width + lateness;
    const start = late ? time - (time % width) : own;
    const key = `${reading.device}@${start}`;
    const cell = cells.get(key) ?? { device: reading.device, start, values: [], late: 0 };
    cells.set(key, cell);
    if (late) cell.late++;
    else cell.values.push(reading.value);
  }
  return [...cells.values()].map(({ device, start, values, late }) => {
    const some = values.length > 0;
    const mean = some ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
    const min = some ? Math.min(...values) : null;
    const max = some ? Math.max(...values) : null;
    return [start + width + lateness, { device, start, width, count: values.length, min, mean, max, late }];
  });
}

const sorted = (emitted: readonly Emitted[]) =>
  [...emitted].sort(
    ([a, { device: d, start: s }], [b, { device: e, start: t }]) => a - b || d.localeCompare(e) || s - t,
  );

const arrivals = fc
  .array(
    fc.record({
      time: fc.integer({ min: 0, max: 300 }),
      reading: fc.record({
        device: fc.constantFrom('a', 'b', 'c'),
        seq: fc.nat(),
        at: fc.integer({ min: 0, max: 400 }),
        value: fc.integer({ min: -1000, max: 1000 }),
      }),
    }),
    { maxLength: 80 },
  )
  .map((all) => all.sort((a, b) => a.time - b.time));

const reading = (device: string, at: number, value: number): Reading => ({ device, seq: at, at, value });

describe('windows', () => {
  it('equal those of a model that groups all readings at once, for any arrivals', () => {
    fc.assert(
      fc.property(
        arrivals,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 0, max: 120 }),
        (all, width, lateness) => {
          const seen = sorted(observed(all, width, lateness));
          const due = sorted(modelled(all, width, lateness));
          expect(seen.map(([time, { mean: _, ...rest }]) => [time, rest])).toEqual(
            due.map(([time, { mean: _, ...rest }]) => [time, rest]),
          );
          for (const [i, [, { mean }]] of seen.entries()) {
            const expected = due[i]?.[1].mean ?? null;
            if (expected === null) expect(mean).toBeNull();
            else expect(mean).toBeCloseTo(expected, 6);
          }
        },
      ),
    );
  });

  it('count each reading once, as in time or as late', () => {
    fc.assert(
      fc.property(arrivals, fc.integer({ min: 1, max: 60 }), (all, width) => {
        const seen = observed(all, width, width);
        expect(seen.reduce((sum, [, { count, late }]) => sum + count + late, 0)).toBe(all.length);
      }),
    );
  });

  it('of devices beyond the limit are one shared window, and no reading is left out', () => {
    fc.assert(
      fc.property(arrivals, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 4 }), (all, width, most) => {
        const limited = observed(all, width, width, most).map(([, window]) => window);
        const free = observed(all, width, width).map(([, window]) => window);
        for (const { start } of free) {
          const sum = (windows: readonly Window[], what: 'count' | 'late') =>
            windows.filter((window) => window.start === start).reduce((total, window) => total + window[what], 0);
          expect(sum(limited, 'count')).toBe(sum(free, 'count'));
          expect(sum(limited, 'late')).toBe(sum(free, 'late'));
        }
      }),
    );
  });

  it('are limited in number, for any number of device names', () => {
    const all = Array.from({ length: 1000 }, (_, i) => ({ time: 5, reading: reading(`d${i}`, 5, i) }));
    const emitted = observed(all, 10, 0, 100).map(([, window]) => window);
    expect(emitted.length).toBe(101);
    expect(emitted.filter(({ device }) => device !== OTHERS).every(({ count }) => count === 1)).toBe(true);
    expect(emitted.at(-1)).toEqual({
      ...{ device: OTHERS, start: 0, width: 10, count: 900, late: 0 },
      ...{ min: 100, mean: expect.closeTo(549.5), max: 999 },
    });
  });

  it('make room for other devices when they close', () => {
    const at = (time: number, device: string) => ({ time, reading: reading(device, time, 1) });
    const emitted = observed([at(1, 'a'), at(2, 'b'), at(11, 'b'), at(12, 'a')], 10, 0, 1);
    expect(emitted.map(([time, { device, start }]) => [time, device, start])).toEqual([
      [10, 'a', 0],
      [10, OTHERS, 0],
      [20, 'b', 10],
      [20, OTHERS, 10],
    ]);
  });

  it('are emitted 500 per event-loop iteration', () => {
    const clock = new TestScheduler(() => undefined);
    const seen: number[] = [];
    let emitted = 0;
    clock.run(({ hot, flush }) => {
      const source = hot<Reading>('-');
      source.pipe(windows({ width: 10, lateness: 0, clock })).subscribe(() => {
        // An action that is scheduled now runs between two iterations.
        if (emitted++ % 100 === 0) clock.schedule(() => seen.push(emitted), 0);
      });
      for (let i = 0; i < 1600; i++) clock.schedule(() => source.next(reading(`d${i}`, 5, i)), 5);
      flush();
    });
    expect(emitted).toBe(1600);
    expect([...new Set(seen)]).toEqual([500, 1000, 1500, 1600]);
  });

  it('cannot be open in more than a thousand spans of time', () => {
    expect(() => windows({ width: 1, lateness: 1000 })).not.toThrow();
    expect(() => windows({ width: 1, lateness: 1001 })).toThrow(RangeError);
  });

  const values = { a: reading('x', 1, 4), b: reading('x', 3, 6), c: reading('y', 3, 1), l: reading('x', 2, 9) };
  const window = (device: string, start: number, figures: Partial<Window>): Window => ({
    ...{ device, start, width: 5, count: 0, min: null, mean: null, max: null, late: 0 },
    ...figures,
  });
  const x = window('x', 0, { count: 2, min: 4, mean: 5, max: 6 });
  const y = window('y', 0, { count: 1, min: 1, mean: 1, max: 1 });

  it(
    'are emitted when they close, one for each device',
    marbles(({ hot, expectObservable, clock }) => {
      const source = hot('  -a-(bc)----------', values);
      const expected = '    -------(xy)------';
      expectObservable(source.pipe(windows({ width: 5, lateness: 2, clock }))).toBe(expected, { x, y });
    }),
  );

  it(
    'that are closed do not change: a reading for one is late in the present window',
    marbles(({ hot, expectObservable, clock }) => {
      const source = hot('  -a-b---l---------', values);
      const expected = '    -------x----l----';
      const late = window('x', 5, { late: 1 });
      expectObservable(source.pipe(windows({ width: 5, lateness: 2, clock }))).toBe(expected, { x, l: late });
    }),
  );

  it(
    'do not exist in the future: a reading from the future belongs to the present window',
    marbles(({ hot, expectObservable, clock }) => {
      const source = hot('  -f---------------', { f: reading('x', 4_000_000_000_000, 7) });
      const expected = '    -----w-----------';
      const w = window('x', 0, { count: 1, min: 7, mean: 7, max: 7 });
      expectObservable(source.pipe(windows({ width: 5, lateness: 0, clock }))).toBe(expected, { w });
    }),
  );

  it(
    'are emitted as they are when the readings complete',
    marbles(({ hot, expectObservable, clock }) => {
      const source = hot('  -a-b|', values);
      const expected = '    ----(x|)';
      expectObservable(source.pipe(windows({ width: 5, clock }))).toBe(expected, { x });
    }),
  );

  it('have a finite mean even for the largest numbers', () => {
    const most = Number.MAX_VALUE;
    const all = [most, -most, most].map((value, i) => ({ time: i, reading: reading('x', i, value) }));
    const [[, { mean }] = [0, window('', 0, {})]] = observed(all, 10, 0);
    expect(mean).toBeCloseTo(most / 3, -300);
    expect(Number.isFinite(mean)).toBe(true);
  });
});
