import { array, type ByteString, simple } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { SessionCommand } from '../session.ts';

/** What COMMAND says of a command. */
export type Flag = 'write' | 'readonly' | 'fast' | 'admin' | 'pubsub' | 'loading' | 'stale';

/** The first key among the arguments, the last one (from the end when negative), and the step between two. */
export type Keys = readonly [first: number, last: number, step: number];

/** A command as the table has it: with what COMMAND reports about it. */
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

/** The commands of one family, each a line: name, arity, flags, keys, summary, what it does. */
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
 * A command whose first argument names what is to be done. Each of these is a command of its own, `parent|name`, and
 * `HELP` tells of them.
 *
 * @param alone What it does without an argument, where its arity allows that.
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

/** What comes after the name, from the given argument on. */
export const rest = (args: Args, from = 1): ByteString[] => args.slice(from);
