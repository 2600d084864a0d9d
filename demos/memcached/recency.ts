import type { Item } from './item.ts';

/** Items in the order of their last use: a list through the items themselves, so that every move is O(1). */
export class Recency {
  #oldest: Item | undefined;
  #newest: Item | undefined;

  /** What has not been used for the longest time. */
  get oldest(): Item | undefined {
    return this.#oldest;
  }

  /** Puts in a new item, as the one used last. */
  add(item: Item): void {
    item.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
  }

  /** Takes an item out. */
  remove(item: Item): void {
    const { older, newer } = item;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    item.older = undefined;
    item.newer = undefined;
  }

  /** An item has been used. */
  touch(item: Item): void {
    if (item === this.#newest) return;
    this.remove(item);
    this.add(item);
  }
}
