/** An item of a {@link ScanList}. */
export interface ScanItem {
  /** Increases from item to item, and never changes. */
  readonly serial: number;
  /** The slot that the item is in now. The list updates it. */
  place: number;
}

/**
 * All items, in the order in which they were added. A deletion empties a slot. When more than half of the slots are empty they
 * are removed, so that an addition and a deletion take constant time on average.
 *
 * It exists for SCAN. The cursor is the serial of the last key shown, and the iteration goes from the newest to the oldest.
 * Nothing is stored between calls. An item that is present all the time is shown exactly once. An item that is added meanwhile
 * is newer than the cursor, so the iteration ends however many are added.
 */
export class ScanList<T extends ScanItem> {
  #slots: (T | undefined)[] = [];
  /** The serial of each slot, empty or not: the cursor is looked up here. */
  #serials: number[] = [];
  #emptied = 0;

  add(item: T): void {
    item.place = this.#slots.length;
    this.#slots.push(item);
    this.#serials.push(item.serial);
  }

  delete(item: T): void {
    this.#slots[item.place] = undefined;
    if (++this.#emptied > 16 && this.#emptied * 2 > this.#slots.length) this.#compact();
  }

  clear(): void {
    this.#slots = [];
    this.#serials = [];
    this.#emptied = 0;
  }

  /** Up to `count` items that were added before `serial`, newest first; with `Infinity`, the newest of all. */
  before(serial: number, count: number): T[] {
    const found: T[] = [];
    for (let place = this.#placeOf(serial) - 1; place >= 0 && found.length < count; place--) {
      const item = this.#slots[place];
      if (item !== undefined) found.push(item);
    }
    return found;
  }

  /** A random item. About half of the slots or more are in use, so a few draws find one. */
  draw(random: () => number): T | undefined {
    for (let draws = 0; draws < 64; draws++) {
      const item = this.#slots[Math.floor(random() * this.#slots.length)];
      if (item !== undefined) return item;
    }
    return this.before(Number.POSITIVE_INFINITY, 1)[0];
  }

  /** The first slot with this serial or a later one. */
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

  #compact(): void {
    const present = this.#slots.filter((item) => item !== undefined);
    this.clear();
    for (const item of present) this.add(item);
  }
}
