import { broadcast } from '../../lib/index.ts';

/** A room as this server has it: its people here, and what was said last. */
export class Room {
  readonly members = broadcast();
  readonly #most: number;
  #history: string[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** What was said last, oldest first: what a newcomer is shown. */
  get history(): readonly string[] {
    return this.#history.slice(Math.max(0, this.#history.length - this.#most));
  }

  say(line: string): void {
    this.#history.push(line);
    // In batches: taking each off the front would move all that are behind it.
    if (this.#history.length >= 2 * this.#most) this.#history = [...this.history];
    this.members.next(line);
  }
}

/** A bounded number of rooms. For one more, the one that has been empty and silent for longest is forgotten. */
export class Rooms {
  readonly #rooms = new Map<string, Room>();
  readonly #most: number;
  readonly #history: number;

  constructor(most: number, history: number) {
    this.#most = most;
    this.#history = history;
  }

  find(name: string): Room | undefined {
    return this.#rooms.get(name);
  }

  /** @returns The room, or nothing if there are too many that somebody here is in. */
  open(name: string): Room | undefined {
    const room = this.#rooms.get(name) ?? (this.#makePlace() ? new Room(this.#history) : undefined);
    if (!room) return undefined;
    // The last in the map is the one used last.
    this.#rooms.delete(name);
    this.#rooms.set(name, room);
    return room;
  }

  #makePlace(): boolean {
    if (this.#rooms.size < this.#most) return true;
    for (const [name, room] of this.#rooms) if (room.members.size === 0) return this.#rooms.delete(name);
    return false;
  }
}
