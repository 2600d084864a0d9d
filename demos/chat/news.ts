import type { Person } from './message.ts';
import { list, notice } from './text.ts';

/** A line for everyone in a room (its name), or for one user of this server (an id), in whatever room. */
export interface News {
  readonly to: string | number;
  readonly line: string;
  /** Whether a user said it. Then it belongs to the history, which users who join later are shown. */
  readonly said?: true;
}

/** The state of a user before and after a change. Without a state before, the user is new; without one after, the user
 * has left. */
export type Change = readonly [before: Person | undefined, after: Person | undefined];

export const isNews = ([before, after]: Change): boolean =>
  before?.name !== after?.name || before?.room !== after?.room;

/**
 * The news that changes make in each room. Users with the same change share one line; otherwise a lost server would make as
 * many lines as it had users.
 *
 * @param why Appended to the line about users who have left.
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
