import { Refusal, wrongType } from '../refusal.ts';
import type { ByteString } from '../resp/reply.ts';
import { Deque } from './deque.ts';
import { RandomSet } from './randomSet.ts';
import { type ScanItem, ScanList } from './scanList.ts';
import { Watches } from './watches.ts';

export type List = Deque<ByteString>;
export type Members = RandomSet<ByteString>;
export type Fields = Map<ByteString, ByteString>;
/** The value of a key. */
export type Value = ByteString | List | Members | Fields;

/** A key with its value. */
export interface Entry extends ScanItem {
  readonly key: ByteString;
  value: Value;
  /** When the key expires, in milliseconds since 1970; `Infinity` for never. */
  expiresAt: number;
}

export interface StoreOptions {
  /** Returns milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
  /** Returns at least 0 and less than 1. @default Math.random */
  readonly random?: () => number;
}

const NEVER = Number.POSITIVE_INFINITY;
/**
 * The most entries of one hash, members of one set, and keys. A Map of V8 has 2^24 slots, and it reuses those of removed
 * entries only when they are half of all slots. So with half as many entries there is always a free slot.
 */
const MOST = 2 ** 23;

/**
 * Checks whether so many entries can be added, before the first one is.
 *
 * @throws {Refusal} If some of them might not fit.
 */
export function expectRoom(size: number, added: number, most = MOST): void {
  if (size + added > most) throw new Refusal(`OOM command not allowed: the limit is ${most} entries`);
}

/**
 * The key space. A key that has expired is never returned. It is removed when it is looked up, or when {@link sweep} finds it.
 */
export class Store {
  readonly watches = new Watches();
  readonly random: () => number;
  /** Increases with every change, so a caller can compare it to see whether a command changed anything. */
  changes = 0;
  /** Called with each key that expired. */
  expired: (key: ByteString) => void = () => {};
  readonly #now: () => number;
  #stoppedAt: number | undefined;
  readonly #entries = new Map<ByteString, Entry>();
  readonly #scanList = new ScanList<Entry>();
  readonly #expiring = new RandomSet<Entry>();
  #serial = 0;

  constructor({ now = Date.now, random = Math.random }: StoreOptions = {}) {
    this.#now = now;
    this.random = random;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** How many keys have a time to live. */
  get expiringKeys(): number {
    return this.#expiring.size;
  }

  get now(): number {
    return this.#stoppedAt ?? this.#now();
  }

  /** Stops the clock while `work` runs, so that no key expires within a transaction or while a log is replayed. */
  holdClock<T>(time: number, work: () => T): T {
    const before = this.#stoppedAt;
    this.#stoppedAt = time;
    try {
      return work();
    } finally {
      this.#stoppedAt = before;
    }
  }

  find(key: ByteString): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAt === NEVER || this.now <= entry.expiresAt) return entry;
    this.#expire(entry);
    return undefined;
  }

  /** @throws {Refusal} If the key holds another type; so do the three methods below. */
  string(key: ByteString): ByteString | undefined {
    const value = this.find(key)?.value;
    if (value === undefined || typeof value === 'string') return value;
    throw wrongType();
  }

  list(key: ByteString): List | undefined {
    const value = this.find(key)?.value;
    if (value === undefined || value instanceof Deque) return value;
    throw wrongType();
  }

  members(key: ByteString): Members | undefined {
    const value = this.find(key)?.value;
    if (value === undefined || value instanceof RandomSet) return value;
    throw wrongType();
  }

  fields(key: ByteString): Fields | undefined {
    const value = this.find(key)?.value;
    if (value === undefined || value instanceof Map) return value;
    throw wrongType();
  }

  /**
   * Sets a key as if it had not existed: an old time to live is removed, unless another is given.
   *
   * @throws {Refusal} If there are too many keys.
   */
  set(key: ByteString, value: Value, expiresAt = NEVER): void {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      expectRoom(this.#entries.size, 1);
      entry = { key, value, expiresAt: NEVER, serial: ++this.#serial, place: 0 };
      this.#entries.set(key, entry);
      this.#scanList.add(entry);
    } else entry.value = value;
    if (entry.expiresAt !== expiresAt) this.#mark(entry, expiresAt);
    this.changed(key);
  }

  /** Changes when a key expires. */
  expireAt(entry: Entry, time: number): void {
    this.#mark(entry, time);
    this.changed(entry.key);
  }

  /** @returns Whether the key existed. */
  delete(key: ByteString): boolean {
    const entry = this.find(key);
    if (entry === undefined) return false;
    this.#remove(entry);
    this.changed(key);
    return true;
  }

  /** Reports that a value was changed in place. A list, set or hash that became empty must be deleted instead. */
  changed(key: ByteString): void {
    this.changes++;
    this.watches.changed(key);
  }

  clear(): void {
    for (const key of this.watches.keys()) if (this.#entries.has(key)) this.watches.changed(key);
    this.#entries.clear();
    this.#scanList.clear();
    this.#expiring.clear();
    this.changes++;
  }

  /** Every key, in order of arrival. */
  *keys(): Generator<ByteString> {
    for (const entry of this.#entries.values()) if (this.#isAlive(entry)) yield entry.key;
  }

  /** Every key with its value. */
  *entries(): Generator<Entry> {
    for (const entry of this.#entries.values()) if (this.#isAlive(entry)) yield entry;
  }

  /**
   * The next keys of an iteration over all of them.
   *
   * @param cursor Where the iteration continues; 0 at its beginning.
   * @param count How many keys to look at.
   * @returns The keys, and the cursor to continue from; 0 at the end.
   */
  scan(cursor: number, count: number): { cursor: number; entries: Entry[] } {
    const found = this.#scanList.before(cursor === 0 ? NEVER : cursor, count);
    const last = found.length < count ? undefined : found.at(-1);
    const more = last !== undefined && this.#scanList.before(last.serial, 1).length > 0;
    return { cursor: more ? last.serial : 0, entries: found.filter((entry) => this.#isAlive(entry)) };
  }

  /** A random key. */
  draw(): ByteString | undefined {
    for (;;) {
      const entry = this.#scanList.draw(this.random);
      if (entry === undefined || this.find(entry.key) !== undefined) return entry?.key;
    }
  }

  /**
   * Removes keys that have expired without being looked up. It looks at a random sample, and at another one as long as more than
   * a quarter of the sample had expired. So at most about a quarter of the keys with a time to live wait to be removed.
   *
   * @param sample How many keys to look at in each round.
   * @param rounds The most rounds, so that the event loop is not blocked.
   * @returns How many were removed.
   */
  sweep(sample = 20, rounds = 100): number {
    const { now } = this;
    let removed = 0;
    for (let round = 0; round < rounds; round++) {
      let found = 0;
      for (let look = 0; look < sample; look++) {
        const entry = this.#expiring.draw(this.random());
        if (entry === undefined) break;
        if (now <= entry.expiresAt) continue;
        this.#expire(entry);
        found++;
      }
      removed += found;
      if (found * 4 <= sample) break;
    }
    return removed;
  }

  #isAlive(entry: Entry): boolean {
    return entry.expiresAt === NEVER || this.now <= entry.expiresAt;
  }

  #mark(entry: Entry, time: number): void {
    entry.expiresAt = time;
    if (time === NEVER) this.#expiring.delete(entry);
    else this.#expiring.add(entry);
  }

  #expire(entry: Entry): void {
    this.#remove(entry);
    this.watches.changed(entry.key);
    this.expired(entry.key);
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#scanList.delete(entry);
    this.#expiring.delete(entry);
  }
}
