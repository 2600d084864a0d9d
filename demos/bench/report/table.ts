import type { Case } from '../cases.ts';
import type { Sample } from '../load/job.ts';
import type { Peer } from '../peers.ts';
import type { Result } from '../rounds.ts';
import type { Verdict } from '../targets.ts';
import { median, none, show } from './numbers.ts';

/** A Markdown table whose columns are aligned in plain text as well. Every column but the first is for numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => pad(cells[column] ?? '', width, column)).join(' | ')} |`;
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}

/** One case: a row for each server, medians over the rounds. */
export function caseTable(entry: Case, results: readonly Result[], peers: readonly Peer[]): string {
  const rows = results
    .filter((result) => result.case === entry.name)
    .map((result) => {
      const title = peers.find((peer) => peer.name === result.peer)?.title ?? result.peer;
      const of = (read: (sample: Sample) => number | undefined) => column(result, read);
      const figures = of((sample) => sample.figure);
      return [
        title,
        show(median(figures)),
        spread(figures),
        show(median(of((sample) => sample.rate))),
        show(median(of((sample) => sample.busy))),
        show(median(of((sample) => sample.p50))),
        show(median(of((sample) => sample.p99))),
      ];
    });
  const head = ['server', entry.unit, 'min to max', rateName(entry), 'ms CPU / s', 'p50 µs', 'p99 µs'];
  // A column is left out if the case has no figures for it.
  const filled = head.map((_, column) => rows.length === 0 || rows.some((row) => row[column] !== none));
  const keep = (cells: readonly string[]) => cells.filter((_, column) => filled[column]);
  return table(keep(head), rows.map(keep));
}

/** The targets, each with its result. */
export function targetTable(verdicts: readonly Verdict[]): string {
  return table(
    ['target', 'at most', 'found', ''],
    verdicts.map(({ case: name, peer, over, limit, ratio, met }) => [
      `${name}: ${peer} / ${over}`,
      show(limit),
      show(ratio),
      met === undefined ? 'not run' : met ? 'pass' : 'FAIL',
    ]),
  );
}

function column(result: Result, read: (sample: Sample) => number | undefined): number[] {
  return result.samples.flatMap((sample) => {
    const value = sample && read(sample);
    return value === undefined ? [] : [value];
  });
}

function spread(figures: readonly number[]): string {
  return figures.length === 0 ? none : `${show(Math.min(...figures))} to ${show(Math.max(...figures))}`;
}

function rateName({ unit }: Case): string {
  if (unit === 'µs CPU / MiB') return 'MiB / s';
  return unit === 'µs CPU / connection' ? 'connections / s' : 'requests / s';
}
