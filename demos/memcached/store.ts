import type { TimestampProvider } from 'rxjs';
import { monotonic } from '../../lib/index.ts';
import { BoundedItems } from './bounded-items.ts';
import { type Counters, noCounts } from './counters.ts';
import { increased } from './delta.ts';
import { Item, itemSize, OVERHEAD } from './item.ts';

/** How to store: always, only a new key, only an existing key, only an unchanged value, or as a part of the existing value. */
export type Mode = 'set' | 'add' | 'replace' | 'cas' | 'append' | 'prepend';

/** Why an item was not stored. */
export type Failure = 'exists' | 'notFound' | 'notStored' | 'noMemory' | 'tooLarge';

export interface StoreOptions {
  /** The largest item, in bytes, as {@link itemSize} counts. @default 1 MiB */
  maxItem?: number;
  /** Whether old items are evicted for new ones. Otherwise a full store refuses new items. @default true */
  evictions?: boolean;
  /** A clock in milliseconds that never jumps. @default monotonic */
  clock?: TimestampProvider;
  /** The time when `clock` was at 0, in milliseconds since 1970. @default from `Date.now()` */
  epoch?: number;
}

/** The properties of an item beside its data. */
export interface Details {
  /** @default 0 */
  flags?: number;
  /** In milliseconds of the store's clock, from {@link Store.expiry}. @default Infinity */
  expires?: number;
  /** The cas id to match. @default 0, for any */
  cas?: number;
  /** With a cas id smaller than the item's: store anyway, and mark the item as stale. @default false */
  orStale?: boolean;
  /** @default false */
  binaryKey?: boolean;
}

/** How many expired or flushed items are removed for a stored one: more than one, so that they become fewer. */
const RECLAIMED = 2;
const OLDEST_RELATIVE = 60 * 60 * 24 * 30;

/**
 * The operations on items, and when items expire. Every operation takes constant time. An item that has expired or was flushed is
 * removed when it is next looked up, or when it is the oldest and room is needed.
 */
export class Store {
  /** For `stats`. */
  counters: Counters = noCounts();
  /** The largest item, in bytes. */
  readonly maxItem: number;
  readonly #items: BoundedItems;
  readonly #clock: TimestampProvider;
  readonly #epoch: number;
  #lastCas = 0;
  /** Items with this cas id or a smaller one are flushed. */
  #flushed = 0;
  #flushAt = Number.POSITIVE_INFINITY;

  /**
   * @param limit What all items may take together, in bytes.
   * @throws RangeError for a limit that does not hold at least two of the largest items.
   */
  constructor(limit: number, options: StoreOptions = {}) {
    const { maxItem = 1024 * 1024, evictions = true, clock = monotonic, epoch = Date.now() - clock.now() } = options;
    if (!(limit >= 2 * maxItem)) throw new RangeError(`Cannot make a store of ${limit} bytes for items of ${maxItem}`);
    this.#items = new BoundedItems(limit, evictions, {
      isOver: (item) => item.cas <= this.#flushed || item.expires <= this.now(),
      evicted: (item, over) => this.#countEvicted(item, over),
    });
    this.maxItem = maxItem;
    this.#clock = clock;
    this.#epoch = epoch;
  }

  /** The size of all items, in bytes, as the original counts it. */
  get bytes(): number {
    return this.#items.bytes;
  }

  /** What the items take in this process, in bytes: this is limited. */
  get used(): number {
    return this.#items.used;
  }

  /** How many items there are, including expired or flushed ones that have not been removed yet. */
  get size(): number {
    return this.#items.size;
  }

  /** What all items may take together, in bytes. A smaller limit evicts. */
  get limit(): number {
    return this.#items.limit;
  }

  set limit(limit: number) {
    this.#items.limit = limit;
    this.#items.makeRoom(0);
  }

  /** Whether old items are evicted for new ones. */
  get evicts(): boolean {
    return this.#items.evicts;
  }

  /** The time since the last use of the item that would be evicted next, in milliseconds. */
  get oldestAge(): number {
    const { oldest } = this.#items;
    return oldest === undefined ? 0 : this.now() - oldest.time;
  }

  /** The time, in milliseconds of the store's clock. */
  now(): number {
    return this.#clock.now();
  }

  /** An expiry time as the protocol gives it, in milliseconds of the store's clock. */
  expiry(exptime: number): number {
    if (exptime === 0) return Number.POSITIVE_INFINITY;
    if (exptime < 0) return Number.NEGATIVE_INFINITY;
    if (exptime <= OLDEST_RELATIVE) return this.now() + exptime * 1000;
    return exptime * 1000 - this.#epoch;
  }

  /** Looks up a live item. This is not a use. */
  find(key: string): Item | undefined {
    this.#flushWhenDue();
    const item = this.#items.get(key);
    if (item === undefined) return undefined;
    if (item.cas <= this.#flushed) this.counters.get_flushed += 1;
    else if (item.expires <= this.now()) {
      this.counters.get_expired += 1;
      if (!item.fetched) this.counters.expired_unfetched += 1;
    } else return item;
    this.remove(item);
    return undefined;
  }

  /** Marks an item as fetched: it is now the last to be evicted. */
  use(item: Item): void {
    item.fetched = true;
    item.time = this.now();
    this.#items.touch(item);
  }

  /** Stores data under a key, if the mode allows it. The data must not change afterwards. */
  put(mode: Mode, key: string, data: Uint8Array, details: Details = {}): Item | Failure {
    const { flags = 0, expires = Number.POSITIVE_INFINITY, cas = 0, orStale = false, binaryKey = false } = details;
    if (itemSize(key.length, flags, data.length) > this.maxItem) return 'tooLarge';
    const before = this.size;
    const old = this.find(key);
    if (old === undefined) {
      if (mode === 'set' || mode === 'add') {
        return this.#replace(undefined, new Item(key, flags, expires, data, binaryKey), before > this.size);
      }
      if (mode !== 'cas') return 'notStored';
      this.counters.cas_misses += 1;
      return 'notFound';
    }
    if (mode === 'add') {
      this.#items.touch(old);
      return 'notStored';
    }
    if (mode === 'append') return this.#extend(old, join(old.data, data), cas);
    if (mode === 'prepend') return this.#extend(old, join(data, old.data), cas);
    const item = new Item(key, flags, expires, data, binaryKey);
    if (mode === 'cas') {
      if (cas !== 0 && cas === old.cas) this.counters.cas_hits += 1;
      else if (orStale && cas !== 0 && cas < old.cas) {
        this.counters.cas_hits += 1;
        item.expires = old.expires;
        item.stale = true;
        item.won = old.won;
      } else {
        this.counters.cas_badval += 1;
        return 'exists';
      }
    }
    const stored = this.#replace(old, item);
    // A value that could not be replaced is out of date. No value is better.
    if (stored === 'noMemory' && mode === 'set') this.remove(old);
    return stored;
  }

  /**
   * Adds to a value that is a number, or subtracts from it, stopping at 0.
   *
   * @returns The new number, or why there is none.
   */
  delta(item: Item, by: bigint, up: boolean, cas = 0): bigint | 'exists' | 'nonNumeric' | 'noMemory' {
    // The original rejects an empty value as no number before it compares the cas id, and any other value afterwards.
    if (item.data.length === 0) return 'nonNumeric';
    if (cas !== 0 && cas !== item.cas) return 'exists';
    const changed = increased(item.data, by, up);
    if (changed === undefined) return 'nonNumeric';
    this.counters[up ? 'incr_hits' : 'decr_hits'] += 1;
    const growth = changed.data.length - item.data.length;
    if (growth > 0 && !this.#items.makeRoom(growth, item)) return 'noMemory';
    this.#items.refill(item, changed.data);
    // In the original, a value that outgrows its memory becomes a new item, without the marks of the old one.
    if (growth > 0) item.fetched = item.stale = item.won = false;
    item.cas = this.nextCas();
    item.time = this.now();
    this.#items.touch(item);
    return changed.value;
  }

  /** A cas id that no item has had before. */
  nextCas(): number {
    this.#lastCas += 1;
    return this.#lastCas;
  }

  /** Removes an item. */
  remove(item: Item): void {
    this.#items.remove(item);
  }

  /** Invalidates all items that exist at some time: now, or later. A later call replaces one that is still waiting. */
  flush(exptime = 0): void {
    this.#flushAt = exptime > 0 ? this.expiry(exptime) : this.now();
    this.#flushWhenDue();
  }

  #flushWhenDue(): void {
    if (this.#flushAt === Number.POSITIVE_INFINITY || this.#flushAt > this.now()) return;
    this.#flushAt = Number.POSITIVE_INFINITY;
    this.#flushed = this.#lastCas;
  }

  /** Replaces an item by one with longer data and the same properties. */
  #extend(old: Item, data: Uint8Array, cas: number): Item | Failure {
    if (cas !== 0 && cas !== old.cas) return 'exists';
    if (itemSize(old.key.length, old.flags, data.length) > this.maxItem) return 'notStored';
    const stored = this.#replace(old, new Item(old.key, old.flags, old.expires, data));
    return stored === 'noMemory' ? 'notStored' : stored;
  }

  /** @param reuses Whether an expired or flushed item of the same key has just been removed. */
  #replace(old: Item | undefined, item: Item, reuses = false): Item | 'noMemory' {
    this.#items.reclaim(RECLAIMED);
    const growth = old === undefined ? item.size + OVERHEAD : item.size - old.size;
    if (!this.#items.makeRoom(growth, old)) return 'noMemory';
    if (old !== undefined) this.remove(old);
    item.cas = this.nextCas();
    item.time = this.now();
    this.#items.add(item);
    this.counters.total_items += 1;
    if (reuses) this.counters.reclaimed += 1;
    return item;
  }

  #countEvicted(item: Item, over: boolean): void {
    if (over) this.counters.reclaimed += 1;
    else this.counters.evictions += 1;
    if (!item.fetched) this.counters[over ? 'expired_unfetched' : 'evicted_unfetched'] += 1;
  }
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
