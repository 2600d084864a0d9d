import type { Message, Person } from './message.ts';
import type { Known } from './people.ts';

/** What is known of another server. */
export class Other {
  readonly people = new Map<number, Known>();
  /** The last change that is known; 0 is that of a server where nobody has ever been. */
  version = 0;
  /** Whether its state was asked for: since the last beat, or before it. */
  asked: 'now' | 'before' | undefined;
  /** The parts of its state that have come. */
  #parts: Person[][] = [];

  /** @returns Whether the state is complete. */
  collect({ part, last, people }: Extract<Message, { type: 'state' }>): boolean {
    if (part === 0) this.#parts = [];
    // A part before it is missing: it is asked for again.
    if (part !== this.#parts.length) return false;
    this.#parts.push([...people]);
    return last;
  }

  /** What makes of the people that were known those of the state. */
  difference(server: string): [number, Known | undefined][] {
    const people = this.#parts.flat();
    this.#parts = [];
    const there = new Set(people.map(({ id }) => id));
    return [
      ...[...this.people.keys()].filter((id) => !there.has(id)).map((id): [number, undefined] => [id, undefined]),
      ...people.map((person): [number, Known] => [person.id, { ...person, server }]),
    ];
  }

  /** @returns Who was there before. */
  put(id: number, person: Known | undefined): Known | undefined {
    const before = this.people.get(id);
    if (person) this.people.set(id, person);
    else this.people.delete(id);
    return before;
  }
}
