import type { Person } from './message.ts';
import { keyOf } from './text.ts';

/** Somebody, and the server that knows them. */
export interface Known extends Person {
  readonly server: string;
}

/** Who there is, to be found by name and by room without asking everybody. */
export class People {
  readonly #names = new Map<string, Set<Known>>();
  readonly #rooms = new Map<string, Set<Known>>();

  /** Puts the second in the place of the first. */
  replace(before: Known | undefined, after: Known | undefined): void {
    if (before) {
      drop(this.#names, keyOf(before.name), before);
      if (before.room !== undefined) drop(this.#rooms, before.room, before);
    }
    if (after) {
      add(this.#names, keyOf(after.name), after);
      if (after.room !== undefined) add(this.#rooms, after.room, after);
    }
  }

  /** All of a name: for a moment there may be several, on several servers. */
  named(name: string): readonly Known[] {
    return [...(this.#names.get(keyOf(name)) ?? [])];
  }

  get all(): readonly Known[] {
    return [...this.#names.values()].flatMap((people) => [...people]);
  }

  isTaken(name: string): boolean {
    return this.#names.has(keyOf(name));
  }

  inRoom(room: string): readonly Known[] {
    return [...(this.#rooms.get(room) ?? [])];
  }

  /** The rooms that somebody is in, and how many are. */
  get rooms(): [room: string, count: number][] {
    return [...this.#rooms].map(([room, people]) => [room, people.size]);
  }
}

function add<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  if (values) values.add(value);
  else index.set(key, new Set([value]));
}

function drop<K, V>(index: Map<K, Set<V>>, key: K, value: V): void {
  const values = index.get(key);
  values?.delete(value);
  if (values?.size === 0) index.delete(key);
}
