/**
 * People in line: first in, first out, and anyone may step out. Each of these takes constant time. (A Map keeps the order
 * too, but looks through all that have left from its front whenever it is asked who is first.)
 */
export class IndexedQueue<T> {
  /** Each with the time when his wait is over; a gap where somebody stepped out. */
  #places: (readonly [item: T, until: number] | undefined)[] = [];
  /** Where each stands, counted from the first who ever stood here. */
  readonly #numbers = new Map<T, number>();
  /** How many have been cut off in front of `#places`. */
  #cut = 0;
  /** The first in `#places` who may still be there. */
  #head = 0;

  get size(): number {
    return this.#numbers.size;
  }

  has(item: T): boolean {
    return this.#numbers.has(item);
  }

  /** Who has stood here longest, with the time when his wait is over. */
  get first(): readonly [item: T, until: number] | undefined {
    this.#passGaps();
    return this.#places[this.#head];
  }

  /** Goes to the end of the line. */
  add(item: T, until: number): void {
    // A line that many pass through, and nobody ever asks who is first in, is cut all the same.
    this.#passGaps();
    if (this.#head > 1024 && this.#head * 2 > this.#places.length) {
      this.#places = this.#places.slice(this.#head);
      this.#cut += this.#head;
      this.#head = 0;
    }
    this.#numbers.set(item, this.#cut + this.#places.push([item, until]) - 1);
  }

  /** @returns Whether he stood in line. */
  delete(item: T): boolean {
    const number = this.#numbers.get(item);
    if (number === undefined) return false;
    this.#numbers.delete(item);
    this.#places[number - this.#cut] = undefined;
    return true;
  }

  #passGaps(): void {
    while (this.#head < this.#places.length && this.#places[this.#head] === undefined) this.#head++;
  }
}
