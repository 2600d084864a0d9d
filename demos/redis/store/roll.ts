/** What stands on a {@link Roll}. */
export interface Enrolled {
  /** Rises with every arrival, and never changes. */
  readonly serial: number;
  /** Where it stands now; the roll moves it. */
  place: number;
}

/**
 * Everyone present, in order of arrival. Leaving strikes out a line; when half of the lines are struck out they are
 * removed, so that joining and leaving are constant time on average.
 *
 * It exists for SCAN. The cursor is the serial of the last key shown and the walk goes from the newest to the oldest:
 * nothing is remembered between calls, what is there all the time is shown exactly once, and what arrives meanwhile is
 * newer than the cursor, so that the walk ends however much is added.
 */
export class Roll<T extends Enrolled> {
  #lines: (T | undefined)[] = [];
  /** The serial on each line, struck out or not: what the cursor is looked up in. */
  #serials: number[] = [];
  #struck = 0;

  join(item: T): void {
    item.place = this.#lines.length;
    this.#lines.push(item);
    this.#serials.push(item.serial);
  }

  leave(item: T): void {
    this.#lines[item.place] = undefined;
    if (++this.#struck > 16 && this.#struck * 2 > this.#lines.length) this.#tidy();
  }

  clear(): void {
    this.#lines = [];
    this.#serials = [];
    this.#struck = 0;
  }

  /** Up to `count` that came before `serial`, newest first; the newest of all with `Infinity`. */
  before(serial: number, count: number): T[] {
    const found: T[] = [];
    for (let place = this.#placeOf(serial) - 1; place >= 0 && found.length < count; place--) {
      const item = this.#lines[place];
      if (item !== undefined) found.push(item);
    }
    return found;
  }

  /** One by chance. About half of the lines or more are not struck out, so that a few draws find one. */
  draw(random: () => number): T | undefined {
    for (let draws = 0; draws < 64; draws++) {
      const item = this.#lines[Math.floor(random() * this.#lines.length)];
      if (item !== undefined) return item;
    }
    return this.before(Number.POSITIVE_INFINITY, 1)[0];
  }

  /** The first place whose serial is this one or a later one. */
  #placeOf(serial: number): number {
    let low = 0;
    let high = this.#serials.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#serials[middle] ?? 0) < serial) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #tidy(): void {
    const present = this.#lines.filter((item) => item !== undefined);
    this.clear();
    for (const item of present) this.join(item);
  }
}
