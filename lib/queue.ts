/** First in, first out, in constant time: taking one off the front of an array moves all that are behind it, each time. */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  /** The first that has not been taken. */
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The first, which stays; `undefined` if there is none. */
  get first(): T | undefined {
    return this.#items[this.#head];
  }

  /** Takes the first; `undefined` if there is none. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) this.clear();
    else if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
