import type { Person } from './message.ts';
import { list, notice } from './text.ts';

/** A line for all in a room; or for one person here, whatever room they are in. */
export interface News {
  readonly to: string | number;
  readonly line: string;
  /** Whether somebody said it, and whoever comes later is to see it, too. */
  readonly said?: true;
}

/** Somebody before and after: without the one they have come, without the other they are gone. */
export type Change = readonly [before: Person | undefined, after: Person | undefined];

export const isNews = ([before, after]: Change): boolean =>
  before?.name !== after?.name || before?.room !== after?.room;

/**
 * What people in rooms are told of changes. It is one line for many: a server that is lost would else be as many lines as it
 * had people.
 *
 * @param why Stands behind who has left.
 */
export function newsOf(changes: readonly Change[], why = ''): News[] {
  const rooms = new Set(changes.flat().flatMap((one) => one?.room ?? []));
  return [...rooms].flatMap((to) => {
    const left = changes.flatMap(([one, after]) => (one?.room === to && after?.room !== to ? one.name : []));
    const joined = changes.flatMap(([before, one]) => (one?.room === to && before?.room !== to ? one.name : []));
    const stayed = changes.filter(([before, after]) => before?.room === to && after?.room === to);
    const texts = [
      ...have(left, `left ${to}${why}`),
      ...stayed.map(([before, after]) => `${before?.name} is now ${after?.name}`),
      ...have(joined, `joined ${to}`),
    ];
    return texts.map((text) => ({ to, line: notice(text) }));
  });
}

const have = (names: readonly string[], done: string): string[] =>
  names.length === 0 ? [] : [`${list(names)} ${names.length === 1 ? 'has' : 'have'} ${done}`];
