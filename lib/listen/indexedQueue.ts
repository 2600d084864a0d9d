/** An item, and since when it waits. */
export type Entry<T> = readonly [item: T, since: number];

/**
 * A queue, first in, first out, from which any item can be removed. Each operation takes constant time.
 *
 * A Map keeps the order too, but its iterator passes all removed entries at the front each time that the first is asked for.
 */
export class IndexedQueue<T> {
  /** `undefined` where an item was removed. */
  #entries: (Entry<T> | undefined)[] = [];
  /** The number of each item: how many items were ever added before it. */
  readonly #numbers = new Map<T, number>();
  /** How many entries have been cut off at the front of `#entries`: the number of the entry at index 0. */
  #offset = 0;
  /** The index of the first entry that may still be there. */
  #head = 0;

  get size(): number {
    return this.#numbers.size;
  }

  has(item: T): boolean {
    return this.#numbers.has(item);
  }

  /** The item that has been in the queue longest. */
  get first(): Entry<T> | undefined {
    this.#skipRemoved();
    return this.#entries[this.#head];
  }

  /** The item that was added last. */
  get last(): Entry<T> | undefined {
    while (this.#entries.length > this.#head && this.#entries.at(-1) === undefined) this.#entries.pop();
    return this.#entries.length > this.#head ? this.#entries.at(-1) : undefined;
  }

  /** Since when the first item waits; `Infinity` if the queue is empty. */
  get since(): number {
    return this.first?.[1] ?? Number.POSITIVE_INFINITY;
  }

  /** The item that has waited longest, where items are not added in that order. Takes as long as the queue. */
  get longest(): Entry<T> | undefined {
    let longest = this.first;
    for (const entry of this.#entries) {
      if (entry !== undefined && entry[1] < (longest?.[1] ?? 0)) longest = entry;
    }
    return longest;
  }

  /** All entries, in the order in which they were added. */
  *[Symbol.iterator](): Generator<Entry<T>> {
    for (const entry of this.#entries) if (entry !== undefined) yield entry;
  }

  add(item: T, since: number): void {
    // Cut here as well: `first` may never be asked for while many items are added and removed.
    this.#skipRemoved();
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#offset += this.#head;
      this.#head = 0;
    }
    // The first one stays, and very many have come and gone behind it.
    if (this.#entries.length > 1024 && this.size * 4 < this.#entries.length - this.#head) this.#compact();
    this.#numbers.set(item, this.#offset + this.#entries.push([item, since]) - 1);
  }

  /** @returns Whether the item was in the queue. */
  delete(item: T): boolean {
    const number = this.#numbers.get(item);
    if (number === undefined) return false;
    this.#numbers.delete(item);
    this.#entries[number - this.#offset] = undefined;
    return true;
  }

  #compact(): void {
    this.#entries = this.#entries.filter((entry) => entry !== undefined);
    this.#offset = 0;
    this.#head = 0;
    for (const [number, entry] of this.#entries.entries()) if (entry) this.#numbers.set(entry[0], number);
  }

  #skipRemoved(): void {
    while (this.#head < this.#entries.length && this.#entries[this.#head] === undefined) this.#head++;
  }
}
