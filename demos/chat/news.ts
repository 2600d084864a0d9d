import type { Known } from './people.ts';

/** What has become different, for those who look on. */
export type News =
  | { readonly type: 'said'; readonly room: string; readonly name: string; readonly text: string }
  | { readonly type: 'joined'; readonly room: string; readonly names: readonly string[] }
  /** `lost` is the server they were on, if it has fallen silent. */
  | { readonly type: 'left'; readonly room: string; readonly names: readonly string[]; readonly lost?: string }
  | { readonly type: 'renamed'; readonly room: string; readonly from: string; readonly to: string }
  /** Somebody of ours lost their name to one on another server who had it before. */
  | { readonly type: 'outdone'; readonly id: number; readonly from: string; readonly to: string };

/** Somebody before and after: without the one they have come, without the other they are gone. */
export type Change = readonly [before: Known | undefined, after: Known | undefined];

/**
 * What people in rooms are told of changes. It is one line for many: a server that is lost would else be as many lines as it
 * had people.
 *
 * @param lost The server that fell silent, if that is why.
 */
export function newsOf(changes: readonly Change[], lost?: string): News[] {
  const left = new Map<string, string[]>();
  const joined = new Map<string, string[]>();
  const renamed: News[] = [];
  for (const [before, after] of changes) {
    if (before?.room !== after?.room) {
      note(left, before);
      note(joined, after);
    } else if (before?.room !== undefined && after && before.name !== after.name) {
      renamed.push({ type: 'renamed', room: before.room, from: before.name, to: after.name });
    }
  }
  return [
    ...[...left].map(([room, names]): News => ({ type: 'left', room, names, ...(lost !== undefined && { lost }) })),
    ...renamed,
    ...[...joined].map(([room, names]): News => ({ type: 'joined', room, names })),
  ];
}

function note(rooms: Map<string, string[]>, person: Known | undefined): void {
  if (person?.room === undefined) return;
  const names = rooms.get(person.room);
  if (names) names.push(person.name);
  else rooms.set(person.room, [person.name]);
}
