import type { Int32Histogram } from 'hdr-histogram-js';
import { duration, paint } from '../support/index.ts';

/** Rows for a factor of ten in latency, from the finest scale to the coarsest. */
const ROWS_PER_DECADE = [48, 24, 12, 6, 3, 1];
const MOST_ROWS = 16;
const BAR = 36;
const MARKS: [number, string][] = [
  [50, 'p50'],
  [90, 'p90'],
  [99, 'p99'],
  [99.9, 'p99.9'],
  [100, 'max'],
];

/**
 * Draws the distribution of latencies, one row for each step of a scale that fits them. The first and the last row contain the
 * outliers, one in two hundred at either end. The percentiles are beside the rows that contain them.
 *
 * @param histogram Latencies in microseconds, at least one.
 * @returns Lines of at most 80 columns.
 */
export function distribution(histogram: Int32Histogram): string[] {
  const bounds = scale(histogram.getValueAtPercentile(0.5), histogram.getValueAtPercentile(99.5));
  const counts = bin(histogram, bounds);
  const most = Math.max(...counts);
  const rowOf = (micros: number): number => bounds.findLastIndex((bound, row) => row === 0 || micros >= bound);
  const marks = MARKS.map(([percentile, name]) => ({ row: rowOf(histogram.getValueAtPercentile(percentile)), name }));
  return bounds.map((bound, row) => {
    const n = counts[row] ?? 0;
    const names = marks.filter((mark) => mark.row === row).map((mark) => mark.name);
    const from = duration(bound / 1000).padStart(9) + (row === bounds.length - 1 ? '+' : ' ');
    const share = percent(n / histogram.totalCount).padStart(7);
    const line = `${from}${paint('dim', '│')}${paint('cyan', bar(n / most).padEnd(BAR))}${share}`;
    return `  ${line}  ${paint('bold', names.join(' '))}`.trimEnd();
  });
}

/**
 * The bounds of the rows, in microseconds: the finest scale from `low` to `high` that has few enough rows. Each bound is the
 * same multiple of the previous one, because a wider row would have a longer bar than its neighbours.
 */
export function scale(low: number, high: number): number[] {
  const scales = ROWS_PER_DECADE.map((rows) => {
    const first = Math.floor(Math.log10(low) * rows);
    const last = Math.floor(Math.log10(high) * rows);
    return Array.from({ length: last - first + 1 }, (_, i) => Number((10 ** ((first + i) / rows)).toPrecision(3)));
  });
  return scales.find((bounds) => bounds.length <= MOST_ROWS) ?? [low];
}

function bin(histogram: Int32Histogram, bounds: number[]): number[] {
  const counts = bounds.map(() => 0);
  const values = histogram.recordedValuesIterator;
  values.reset();
  let row = 0;
  while (values.hasNext()) {
    const { valueIteratedTo, countAddedInThisIterationStep } = values.next();
    while (valueIteratedTo >= (bounds[row + 1] ?? Number.POSITIVE_INFINITY)) row++;
    counts[row] = (counts[row] ?? 0) + countAddedInThisIterationStep;
  }
  return counts;
}

/** A bar in eighths of a column. Any share above 0 is visible. */
function bar(share: number): string {
  const eighths = Math.max(Math.round(share * BAR * 8), share > 0 ? 1 : 0);
  return '█'.repeat(Math.floor(eighths / 8)) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
}

function percent(share: number): string {
  if (share === 0) return '·';
  return share < 0.0005 ? '<0.1 %' : `${(share * 100).toFixed(1)} %`;
}
