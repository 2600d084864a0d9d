import { parseArgs } from 'node:util';
import { type Effort, full, quick } from './cases.ts';

/** What the command line asks for. */
export interface Options {
  readonly effort: Effort;
  /** Names of cases and peers to run; undefined for all. */
  readonly cases: readonly string[] | undefined;
  readonly peers: readonly string[] | undefined;
  /** Fail the process when a target is missed. */
  readonly check: boolean;
  /** Folder for the results; undefined to write none. */
  readonly out: string | undefined;
  readonly help: boolean;
}

export const usage = `npm run bench -- [options]

  --quick          one short round of everything, under two minutes; writes no files
  --case a,b       only these cases: echo, lines, prefixed, redis-set, redis-get, bulk-in, bulk-out, connect, idle, value, ...
  --peer a,b       only these servers: net, net-corked, net-joined, rxjs, go, c, nest, redis, sluice-redis
  --starts n       how often all servers of a case are started anew
  --turns n        turns of each server between two starts
  --warm ms        load before the first of them
  --turn ms        load in each of them
  --idle n         idle connections to hold
  --out folder     where RESULTS.md, results.json and results.svg go; a full run writes them beside the bench
  --check          exit with 1 when a target is missed
  --help           print this`;

/** Reads the options of a command line; throws a TypeError or RangeError with a sentence for what is impossible. */
export function readOptions(args: readonly string[], home: string): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      case: { type: 'string' },
      peer: { type: 'string' },
      starts: { type: 'string' },
      turns: { type: 'string' },
      warm: { type: 'string' },
      turn: { type: 'string' },
      idle: { type: 'string' },
      out: { type: 'string' },
    },
  });
  const base = values.quick ? quick : full;
  const whole = !values.quick && values.case === undefined && values.peer === undefined;
  return {
    effort: {
      starts: positive('starts', values.starts) ?? base.starts,
      turns: positive('turns', values.turns) ?? base.turns,
      warm: positive('warm', values.warm) ?? base.warm,
      turn: positive('turn', values.turn) ?? base.turn,
      settle: base.settle,
      idle: positive('idle', values.idle) ?? base.idle,
    },
    cases: values.case?.split(','),
    peers: values.peer?.split(','),
    check: values.check,
    // A part of the figures must not take the place of all of them unasked.
    out: values.out ?? (whole ? home : undefined),
    help: values.help,
  };
}

/** Those of `all` that are named, or all of them. */
export function choose<T extends { readonly name: string }>(
  what: string,
  all: readonly T[],
  names: readonly string[] | undefined,
): readonly T[] {
  const unknown = names?.find((name) => !all.some((entry) => entry.name === name));
  if (unknown !== undefined) {
    throw new RangeError(`There is no ${what} "${unknown}"; there are ${all.map((entry) => entry.name).join(', ')}`);
  }
  return names === undefined ? all : all.filter((entry) => names.includes(entry.name));
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`--${name} must be a whole number above 0, not "${text}"`);
  return value;
}
