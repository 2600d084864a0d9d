const SMALLEST = 8;

/**
 * A queue that grows and shrinks at both ends in constant time. It is a ring, because an array would move all its items to make
 * room at the front.
 */
export class Deque<T> {
  #ring: (T | undefined)[] = new Array<T | undefined>(SMALLEST);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  pushBack(item: T): void {
    if (this.#length === this.#ring.length) this.#resize(this.#length * 2);
    this.#ring[this.#slot(this.#length++)] = item;
  }

  pushFront(item: T): void {
    if (this.#length === this.#ring.length) this.#resize(this.#length * 2);
    this.#head = this.#slot(-1);
    this.#ring[this.#head] = item;
    this.#length++;
  }

  popBack(): T | undefined {
    if (this.#length === 0) return undefined;
    return this.#take(this.#slot(--this.#length));
  }

  popFront(): T | undefined {
    if (this.#length === 0) return undefined;
    const slot = this.#head;
    this.#head = this.#slot(1);
    this.#length--;
    return this.#take(slot);
  }

  /** The items from `start` up to `end`, exclusive. */
  slice(start: number, end: number): T[] {
    const items: T[] = [];
    for (let index = Math.max(0, start); index < Math.min(end, this.#length); index++) {
      items.push(this.#ring[this.#slot(index)] as T);
    }
    return items;
  }

  /** The length of the ring is a power of two, so that a mask wraps an index around; this works for -1 as well. */
  #slot(index: number): number {
    return (this.#head + index) & (this.#ring.length - 1);
  }

  /** Empties the slot, because otherwise its item would stay in memory, and shrinks the ring when most of it is unused. */
  #take(slot: number): T | undefined {
    const item = this.#ring[slot];
    this.#ring[slot] = undefined;
    if (this.#ring.length > SMALLEST && this.#length * 4 <= this.#ring.length) this.#resize(this.#ring.length / 2);
    return item;
  }

  #resize(size: number): void {
    const items: (T | undefined)[] = this.slice(0, this.#length);
    items.length = size;
    this.#ring = items;
    this.#head = 0;
  }
}
