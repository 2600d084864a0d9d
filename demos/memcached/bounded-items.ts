import { type Item, OVERHEAD } from './item.ts';
import { Recency } from './recency.ts';

/** What {@link BoundedItems} need of their owner. */
export interface BoundedItemsOwner {
  /** Whether an item has expired or was flushed, and only takes up room. */
  isOver(item: Item): boolean;
  /** Called after an item was removed to make room. */
  evicted(item: Item, over: boolean): void;
}

/** The items by their keys and in the order of their use, within a limit of memory. Every operation takes constant time. */
export class BoundedItems {
  /** What all items may take together, in bytes. */
  limit: number;
  /** Whether live items are evicted for new ones. */
  readonly evicts: boolean;
  readonly #owner: BoundedItemsOwner;
  readonly #items = new Map<string, Item>();
  readonly #recency = new Recency();
  #bytes = 0;

  constructor(limit: number, evicts: boolean, owner: BoundedItemsOwner) {
    this.limit = limit;
    this.evicts = evicts;
    this.#owner = owner;
  }

  /** The size of all items, in bytes, as the original counts it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What the items take in this process, in bytes: this is limited. */
  get used(): number {
    return this.#bytes + this.#items.size * OVERHEAD;
  }

  get size(): number {
    return this.#items.size;
  }

  /** The item that would be removed next. */
  get oldest(): Item | undefined {
    return this.#recency.oldest;
  }

  get(key: string): Item | undefined {
    return this.#items.get(key);
  }

  /** Adds an item as the newest. There must be room for it. */
  add(item: Item): void {
    this.#items.set(item.key, item);
    this.#recency.add(item);
    this.#bytes += item.size;
  }

  remove(item: Item): void {
    this.#items.delete(item.key);
    this.#recency.remove(item);
    this.#bytes -= item.size;
  }

  /** Makes an item the newest. */
  touch(item: Item): void {
    this.#recency.touch(item);
  }

  /** Replaces the data of an item. There must be room for them. */
  refill(item: Item, data: Uint8Array): void {
    this.#bytes += data.length - item.data.length;
    item.data = data;
  }

  /** Removes up to `most` of the oldest items if they have expired or were flushed, even if there is room. */
  reclaim(most: number): void {
    for (let left = most; left > 0; left--) {
      const { oldest } = this;
      if (oldest === undefined || !this.#owner.isOver(oldest)) return;
      this.remove(oldest);
      this.#owner.evicted(oldest, true);
    }
  }

  /** Makes room for so many more bytes by removing any items but `keep`. @returns Whether there is room. */
  makeRoom(bytes: number, keep?: Item): boolean {
    if (this.used + bytes <= this.limit) return true;
    // The kept item will be the newest anyway, and must not be found as the oldest.
    if (keep !== undefined) this.touch(keep);
    while (this.used + bytes > this.limit) {
      const { oldest } = this;
      if (oldest === undefined || oldest === keep) return false;
      const over = this.#owner.isOver(oldest);
      if (!over && !this.evicts) return false;
      this.remove(oldest);
      this.#owner.evicted(oldest, over);
    }
    return true;
  }
}
