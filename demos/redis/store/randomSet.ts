/**
 * A set that can also draw a random item in constant time: SPOP needs it, and so does the search for keys that have expired.
 */
export class RandomSet<T> {
  readonly #places = new Map<T, number>();
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  has(item: T): boolean {
    return this.#places.has(item);
  }

  /** @returns Whether it is new. */
  add(item: T): boolean {
    if (this.#places.has(item)) return false;
    this.#places.set(item, this.#items.length);
    this.#items.push(item);
    return true;
  }

  /** Moves the last item into the place of the deleted one. @returns Whether the item was present. */
  delete(item: T): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    this.#places.delete(item);
    const last = this.#items.pop() as T;
    if (last !== item) {
      this.#items[place] = last;
      this.#places.set(last, place);
    }
    return true;
  }

  clear(): void {
    this.#places.clear();
    this.#items.length = 0;
  }

  /** @param chance At least 0 and less than 1. */
  draw(chance: number): T | undefined {
    return this.#items[Math.floor(chance * this.#items.length)];
  }

  values(): readonly T[] {
    return this.#items;
  }
}
