/** An item of a {@link LinkedSet}. It is in one such set at most, which keeps these fields. */
export interface Linked<T> {
  following: T | undefined;
  preceding: T | undefined;
  /** Its place in the order in which items were added, from 1; negative once it was deleted, 0 before it was added. */
  place: number;
}

/**
 * A set whose items are linked in the order in which they were added. Each operation takes constant time.
 *
 * A `Set` from which items are deleted all the time makes garbage collection expensive. V8 replaces its table again and again,
 * and each old table refers to the next one. So once one of them is in the old generation, nothing that was ever in a later one
 * is freed before the next full collection. A server that closes connections spends three quarters of its own time on that.
 */
export class LinkedSet<T extends Linked<T>> implements Iterable<T> {
  #first: T | undefined;
  #last: T | undefined;
  #size = 0;
  #added = 0;

  get size(): number {
    return this.#size;
  }

  /** The item that was added first. */
  get first(): T | undefined {
    return this.#first;
  }

  has(item: T): boolean {
    return item.place > 0;
  }

  /** Adds an item that is in no set. */
  add(item: T): void {
    item.place = ++this.#added;
    item.preceding = this.#last;
    if (this.#last === undefined) this.#first = item;
    else this.#last.following = item;
    this.#last = item;
    this.#size++;
  }

  /** @returns Whether the item was in the set. */
  delete(item: T): boolean {
    if (item.place <= 0) return false;
    const { preceding, following } = item;
    if (preceding === undefined) this.#first = following;
    else preceding.following = following;
    if (following === undefined) this.#last = preceding;
    else following.preceding = preceding;
    // Nothing may lead from a deleted item to one that is still there, or it would keep that one alive.
    item.preceding = item.following = undefined;
    item.place = -item.place;
    this.#size--;
    return true;
  }

  /** In the order in which they were added. Items may be added and deleted meanwhile. */
  *[Symbol.iterator](): Generator<T, undefined> {
    let item = this.#first;
    while (item !== undefined) {
      const { place } = item;
      yield item;
      item = item.place === place ? item.following : this.#after(place);
    }
  }

  /** The first item behind a place that is free now. */
  #after(place: number): T | undefined {
    let item = this.#first;
    while (item !== undefined && item.place < place) item = item.following;
    return item;
  }
}
