import { parseArgs } from 'node:util';
import { type Effort, full, quick } from './cases.ts';

/** The options of the command line. */
export interface Options {
  readonly effort: Effort;
  /** Names of cases and peers to run; undefined for all. */
  readonly cases: readonly string[] | undefined;
  readonly peers: readonly string[] | undefined;
  /** Release or path of the Node that runs the servers; undefined for the one that runs the bench. */
  readonly node: string | undefined;
  /** Whether the process fails when a target is missed. */
  readonly check: boolean;
  /** Folder for the results; undefined to write none. */
  readonly out: string | undefined;
  readonly help: boolean;
}

export const usage = `npm run bench -- [options]

  --quick          one short round of all cases, some minutes; writes no files
  --case a,b       only these cases: echo, lines, async, prefixed, redis-set, redis-get, bulk-in, bulk-out, connect,
                   connect-server-first, connect-rst, tls-echo, tls-bulk, tls-handshake, burst, held, idle, value
  --peer a,b       only these servers: sluice, sluice-net, net, net-corked, net-joined, tls, rxjs, handle, go, c, nest,
                   redis, sluice-redis, sluice-operated, of which the last one runs only if it is named, with Chromium: it
                   has metrics, a scrape each 100 ms, the live page in two browsers, and a span for each connection
  --node release   the Node that runs the servers in JavaScript: a release such as 26, which is installed once from the npm
                   registry, or the path of a program
  --starts n       how often all servers of a case are restarted
  --rounds n       rounds after each start; in a round each server is measured once
  --warm ms        duration of the load before the first measurement; four times as long for short connections
  --duration ms    duration of the load in each measurement
  --idle n         idle connections to hold
  --held n         held connections that speak once a second
  --out folder     folder for RESULTS.md, results.json and results.svg; a full run writes them to its own folder
  --check          exit with 1 when a target is missed
  --help           print this`;

/**
 * Parses a command line.
 *
 * @param home The folder of the results of a full run.
 * @throws TypeError or RangeError with a sentence for options that do not exist or are out of range.
 */
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
      rounds: { type: 'string' },
      warm: { type: 'string' },
      duration: { type: 'string' },
      idle: { type: 'string' },
      held: { type: 'string' },
      node: { type: 'string' },
      out: { type: 'string' },
    },
  });
  const base = values.quick ? quick : full;
  const whole = !values.quick && values.case === undefined && values.peer === undefined;
  return {
    effort: {
      starts: positive('starts', values.starts) ?? base.starts,
      rounds: positive('rounds', values.rounds) ?? base.rounds,
      warm: positive('warm', values.warm) ?? base.warm,
      duration: positive('duration', values.duration) ?? base.duration,
      settle: base.settle,
      idle: positive('idle', values.idle) ?? base.idle,
      held: positive('held', values.held) ?? base.held,
    },
    cases: values.case?.split(','),
    peers: values.peer?.split(','),
    node: values.node,
    check: values.check,
    // A partial run must not replace the published results, unless a folder is given.
    out: values.out ?? (whole ? home : undefined),
    help: values.help,
  };
}

/** The named entries of `all`. Without names those that the filter allows, by default all. */
export function choose<T extends { readonly name: string }>(
  what: string,
  all: readonly T[],
  names: readonly string[] | undefined,
  byDefault: (entry: T) => boolean = () => true,
): readonly T[] {
  const unknown = names?.find((name) => !all.some((entry) => entry.name === name));
  if (unknown !== undefined) {
    throw new RangeError(`There is no ${what} "${unknown}"; there are ${all.map((entry) => entry.name).join(', ')}`);
  }
  return all.filter((entry) => names?.includes(entry.name) ?? byDefault(entry));
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`--${name} must be a whole number above 0, not "${text}"`);
  return value;
}
