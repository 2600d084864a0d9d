import { array, type ByteString, simple } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { SessionCommand } from '../session.ts';

/** The flags that COMMAND reports. */
export type Flag = 'write' | 'readonly' | 'fast' | 'admin' | 'pubsub' | 'loading' | 'stale';

/** The position of the first key, that of the last one (counted from the end if negative), and the step between two keys. */
export type Keys = readonly [first: number, last: number, step: number];

/** A command in the command table, with what COMMAND reports about it. */
export interface Command extends SessionCommand {
  readonly flags: readonly Flag[];
  readonly keys: Keys;
  readonly group: string;
  readonly summary: string;
  readonly subcommands?: ReadonlyMap<string, Command>;
}

export const NO_KEYS: Keys = [0, 0, 0];
export const ONE_KEY: Keys = [1, 1, 1];
export const ALL_KEYS: Keys = [1, -1, 1];

/** The commands of one family, a line each: name, arity, flags, keys, summary, implementation. */
export function family(
  group: string,
  ...lines: [name: string, arity: number, flags: string, keys: Keys, summary: string, run: Command['run']][]
): Command[] {
  return lines.map(([name, arity, flags, keys, summary, run]) => ({
    name,
    arity,
    flags: flags.split(' ') as Flag[],
    writes: flags.startsWith('write'),
    reads: flags.startsWith('readonly'),
    keys,
    group,
    summary,
    run,
  }));
}

/**
 * A command whose first argument selects a subcommand. Each subcommand is a command of its own, `parent|name`, and `HELP`
 * lists them.
 *
 * @param alone What the command does without an argument, if its arity allows that.
 */
export function container(
  name: string,
  arity: number,
  children: readonly Command[],
  summary: string,
  alone: Command['run'] = () => '',
): Command {
  const group = children[0]?.group ?? '';
  const all = [...children, ...family(group, ['help', 2, 'loading stale', NO_KEYS, 'Prints this help.', () => help])];
  const lines = all.flatMap((child) => [child.name.toUpperCase(), `    ${child.summary}`]);
  const title = `${name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`;
  const help = array([title, ...lines].map(simple));
  const subcommands = new Map(all.map((child) => [child.name, { ...child, name: `${name}|${child.name}` }]));
  return {
    name,
    arity,
    flags: [],
    writes: false,
    reads: false,
    keys: NO_KEYS,
    group,
    summary,
    subcommands,
    run: alone,
  };
}

/** The arguments from the given position on; without a position, all but the name. */
export const rest = (args: Args, from = 1): ByteString[] => args.slice(from);
