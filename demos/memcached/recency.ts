import type { Item } from './item.ts';

/** Items in the order of their last use: a list that is linked through the items, so that every move is O(1). */
export class Recency {
  #oldest: Item | undefined;
  #newest: Item | undefined;

  /** The item that has not been used for the longest time. */
  get oldest(): Item | undefined {
    return this.#oldest;
  }

  /** Adds a new item as the one used last. */
  add(item: Item): void {
    item.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
  }

  /** Removes an item. */
  remove(item: Item): void {
    const { older, newer } = item;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    item.older = undefined;
    item.newer = undefined;
  }

  /** Marks an item as used. */
  touch(item: Item): void {
    if (item === this.#newest) return;
    this.remove(item);
    this.add(item);
  }
}
