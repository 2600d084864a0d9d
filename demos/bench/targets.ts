import { median } from './report/numbers.ts';
import type { Result } from './rounds.ts';

/** A target: in this case `peer` needs at most `limit` times as much as `over`. */
export interface Target {
  readonly case: string;
  readonly peer: string;
  readonly over: string;
  readonly limit: number;
}

export const targets: readonly Target[] = [
  { case: 'echo', peer: 'sluice', over: 'net', limit: 0.82 },
  { case: 'echo', peer: 'sluice', over: 'handle', limit: 1.07 },
  { case: 'echo', peer: 'sluice', over: 'go', limit: 0.98 },
  { case: 'echo', peer: 'sluice', over: 'c', limit: 1.7 },
  { case: 'lines', peer: 'sluice', over: 'net-corked', limit: 0.75 },
  { case: 'lines', peer: 'sluice', over: 'go', limit: 0.95 },
  { case: 'lines', peer: 'sluice', over: 'rxjs', limit: 0.1 },
  { case: 'prefixed', peer: 'sluice', over: 'net-corked', limit: 0.9 },
  { case: 'redis-set', peer: 'sluice-redis', over: 'redis', limit: 1.3 },
  { case: 'redis-get', peer: 'sluice-redis', over: 'redis', limit: 1.3 },
  { case: 'bulk-in', peer: 'sluice', over: 'net', limit: 0.8 },
  { case: 'bulk-out', peer: 'sluice', over: 'net', limit: 1 },
  { case: 'connect', peer: 'sluice', over: 'net', limit: 0.85 },
  { case: 'connect', peer: 'sluice', over: 'go', limit: 1.25 },
  { case: 'burst', peer: 'sluice', over: 'net', limit: 0.85 },
  { case: 'tls-echo', peer: 'sluice', over: 'tls', limit: 0.95 },
  { case: 'tls-bulk', peer: 'sluice', over: 'tls', limit: 0.95 },
  { case: 'tls-handshake', peer: 'sluice', over: 'tls', limit: 1.05 },
  { case: 'echo', peer: 'sluice-operated', over: 'sluice', limit: 1.05 },
  { case: 'lines', peer: 'sluice-operated', over: 'sluice', limit: 1.05 },
  { case: 'connect', peer: 'sluice-operated', over: 'sluice', limit: 1.05 },
  { case: 'idle', peer: 'sluice', over: 'net', limit: 1 },
  { case: 'idle', peer: 'sluice', over: 'go', limit: 0.5 },
  { case: 'value', peer: 'idle', over: 'timeout', limit: 0.15 },
];

/** The result of a target in a run. */
export interface Verdict extends Target {
  /** Median over the rounds of the ratio of the two figures; undefined if no round has both. */
  readonly ratio: number | undefined;
  readonly met: boolean | undefined;
}

export function judge(target: Target, results: readonly Result[]): Verdict {
  const ratio = ratioOf(results, target.case, target.peer, target.over);
  return { ...target, ratio, met: ratio === undefined ? undefined : ratio <= target.limit };
}

/**
 * The median of the ratios between two measurements of the same round. Within a round, because a temporary disturbance of
 * the machine affects neighbouring measurements alike.
 */
export function ratioOf(results: readonly Result[], name: string, peer: string, over: string): number | undefined {
  const figures = (of: string) => results.find((result) => result.case === name && result.peer === of)?.samples ?? [];
  const below = figures(over);
  return median(
    figures(peer).flatMap((sample, round) => {
      const other = below[round];
      return sample && other && other.figure > 0 ? [sample.figure / other.figure] : [];
    }),
  );
}
