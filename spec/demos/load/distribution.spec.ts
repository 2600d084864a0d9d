import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distribution, scale } from '../../../demos/load/distribution.ts';
import { curve } from '../../../demos/load/progress.ts';
import { Tally } from '../../../demos/load/tally.ts';

const micros = fc.integer({ min: 1, max: 60_000_000 });

describe('the drawn distribution', () => {
  it('has at most 16 ascending rows, from the smallest value to the largest', () => {
    fc.assert(
      fc.property(micros, micros, (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const bounds = scale(low, high);
        expect(bounds.length).toBeGreaterThan(0);
        expect(bounds.length).toBeLessThanOrEqual(16);
        expect(bounds).toEqual([...new Set(bounds)].sort((x, y) => x - y));
        expect(bounds[0]).toBeLessThanOrEqual(low * 1.01);
        expect(bounds.at(-1)).toBeLessThanOrEqual(high * 1.01);
      }),
    );
  });

  it('shows every percentile once, in 80 columns, for any latencies', () => {
    fc.assert(
      fc.property(fc.array(micros, { minLength: 1, maxLength: 50 }), (latencies) => {
        const { latency } = new Tally();
        for (const value of latencies) latency.recordValue(value);
        const lines = distribution(latency);
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
        expect(lines.join('\n').match(/p50|p90|p99\.9|p99|max/g)).toEqual(['p50', 'p90', 'p99', 'p99.9', 'max']);
      }),
    );
  });

  it('gives each row its share', () => {
    const { latency } = new Tally();
    latency.recordValueWithCount(100, 750);
    latency.recordValueWithCount(1000, 250);
    const shares = distribution(latency).map((line) => line.match(/([\d.]+) %|·/)?.[1]);
    expect(shares.filter(Boolean)).toEqual(['75.0', '25.0']);
  });
});

describe('the curve of throughput', () => {
  it('is scaled from zero to the highest rate, and has a maximum width', () => {
    expect(curve([])).toBe('');
    expect(curve([0, 0])).toBe('▁▁');
    expect(curve([0, 50, 100])).toBe('▁▅█');
    expect(curve(Array.from({ length: 500 }, () => 1)).length).toBe(60);
  });
});
