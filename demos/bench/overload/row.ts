import type { NodeProgram } from '../proc/node.ts';
import { atMost, exactly, type Finding as Measured, percentiles } from '../soak/measure.ts';

export { atMost, exactly, percentiles };

export interface Finding extends Measured {
  /** Whether a limit was missed only because of the machine: it is met in the time in which the server had its core. */
  readonly isMachine?: boolean;
}

export interface Effort {
  /** The short form, for CI. */
  readonly quick: boolean;
  /** The Node of the servers. */
  readonly node: NodeProgram;
  /** Those of the row `park` in its full form. */
  releases(): Promise<readonly NodeProgram[]>;
}

/**
 * One promise of the library under overload, and its control: the same server without the option, measured in the same way. The
 * control has to miss a limit; otherwise the row would not show what the option is for.
 */
export interface Row {
  readonly name: string;
  /** What the control lacks, or has instead. */
  readonly without: string;
  /** Measures the server, or its control. Both return the same figures in the same order. */
  measure(effort: Effort, isControl: boolean): Promise<Finding[]>;
}

const round = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));

/** A figure with a lower limit. */
export const atLeast = (what: string, found: number, allowed: number, unit: string): Finding => ({
  what,
  found: `${round(found)} ${unit}`,
  allowed: `≥ ${round(allowed)} ${unit}`,
  met: found >= allowed,
});

/**
 * A share of times, which has an upper limit.
 *
 * @param net The same times, each less that for which the server was ready to run meanwhile and another process had its core.
 */
export function latency(
  what: string,
  share: 'p99' | 'max',
  times: readonly number[],
  net: readonly number[],
  limit: number,
): Finding[] {
  // No reply at all is no short latency.
  const of = (all: readonly number[]) => (all.length === 0 ? Number.POSITIVE_INFINITY : percentiles(all)[share]);
  const found = atMost(`${what}, ${share}`, of(times), limit, 'ms');
  const isMachine = !found.met && of(net) <= limit;
  return [{ ...found, isMachine }, told('the same, in the time in which the server had its core', of(net), 'ms')];
}

/** A figure without a limit, which explains the others. */
export const told = (what: string, found: number | string, unit = ''): Finding => ({
  what,
  found: typeof found === 'number' ? `${round(found)} ${unit}`.trim() : found,
  allowed: '',
  met: true,
});
