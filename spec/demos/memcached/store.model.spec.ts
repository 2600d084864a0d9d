import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { itemSize, OVERHEAD } from '../../../demos/memcached/item.ts';
import type { Mode, Store } from '../../../demos/memcached/store.ts';
import { bytesOf, bytesToText, type ManualClock, still } from './support.ts';

const LIMIT = 1400 + 3 * OVERHEAD;
const MAX_ITEM = 600;

interface Entry {
  key: string;
  text: string;
  expires: number;
  cas: number;
}

/** The simplest model of the store: a list from the oldest item to the newest, which is searched linearly. */
class Model {
  entries: Entry[] = [];
  time = 0;
  cas = 0;
  flushed = 0;
  flushAt = Number.POSITIVE_INFINITY;
  evictions = 0;
  reclaimed = 0;

  dead(entry: Entry): boolean {
    return entry.expires <= this.time || entry.cas <= this.flushed;
  }

  find(key: string): Entry | undefined {
    if (this.flushAt <= this.time) {
      this.flushed = this.cas;
      this.flushAt = Number.POSITIVE_INFINITY;
    }
    const entry = this.entries.find((candidate) => candidate.key === key);
    if (entry === undefined || !this.dead(entry)) return entry;
    this.entries = this.entries.filter((candidate) => candidate !== entry);
    return undefined;
  }

  /** Before an item is stored, an expired or flushed one of the same key is removed, and up to two of the oldest such items. */
  reclaim(key: string): void {
    this.find('');
    const own = this.entries.find((entry) => entry.key === key);
    if (own !== undefined && this.dead(own)) this.reclaimed += 1;
    this.entries = this.entries.filter((entry) => entry !== own || !this.dead(entry));
    for (let left = 2; left > 0; left--) {
      const [oldest, ...others] = this.entries;
      if (oldest === undefined || !this.dead(oldest)) return;
      this.reclaimed += 1;
      this.entries = others;
    }
  }

  toEnd(entry: Entry): void {
    this.entries = [...this.entries.filter(({ key }) => key !== entry.key), entry];
  }

  store(key: string, text: string, expires: number): void {
    this.cas += 1;
    this.toEnd({ key, text, expires, cas: this.cas });
    while (this.bytes + this.entries.length * OVERHEAD > LIMIT) {
      const [oldest, ...others] = this.entries;
      if (oldest === undefined) throw new Error('one entry is larger than the limit');
      if (this.dead(oldest)) this.reclaimed += 1;
      else this.evictions += 1;
      this.entries = others;
    }
  }

  get bytes(): number {
    return this.entries.reduce((sum, { key, text }) => sum + itemSize(key.length, 0, text.length), 0);
  }
}

interface Real {
  store: Store;
  clock: ManualClock;
}

class Step implements fc.Command<Model, Real> {
  readonly #name: string;
  readonly #run: (model: Model, real: Real) => void;

  constructor(name: string, run: (model: Model, real: Real) => void) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, real: Real): void {
    this.#run(model, real);
    expect(real.store.bytes).toBe(model.bytes);
    expect(real.store.used).toBe(model.bytes + model.entries.length * OVERHEAD);
    expect(real.store.used).toBeLessThanOrEqual(LIMIT);
    expect(real.store.size).toBe(model.entries.length);
    expect(real.store.counters).toMatchObject({ evictions: model.evictions, reclaimed: model.reclaimed });
  }

  toString(): string {
    return this.#name;
  }
}

const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const texts = fc.oneof(
  fc.nat({ max: 500 }).map((length) => 'x'.repeat(length)),
  fc.constantFrom('9', '10', '99', '18446744073709551615', '007'),
);
const exptimes = fc.constantFrom(0, 0, 0, 1, 2, 5, -1);
const modes = fc.constantFrom<Mode>('set', 'set', 'add', 'replace', 'append', 'prepend', 'cas');

const put = fc.tuple(modes, keys, texts, exptimes, fc.boolean()).map(
  ([mode, key, text, exptime, right]) =>
    new Step(`${mode} ${key} ${text.length} ${exptime} ${right}`, (model, { store }) => {
      const expires = exptime === 0 ? Infinity : exptime < 0 ? -Infinity : model.time + exptime * 1000;
      const cas = mode === 'cas' ? (model.entries.find((entry) => entry.key === key)?.cas ?? 0) + (right ? 0 : 1) : 0;
      const result = store.put(mode, key, bytesOf(text), { expires: store.expiry(exptime), cas });
      const outcome = typeof result === 'string' ? result : 'stored';
      if (outcome === 'stored') model.reclaim(key);
      const old = model.find(key);
      if (old === undefined) {
        const makes = mode === 'set' || mode === 'add';
        expect(outcome).toBe(makes ? 'stored' : mode === 'cas' ? 'notFound' : 'notStored');
        if (makes) model.store(key, text, expires);
      } else if (mode === 'add') {
        expect(outcome).toBe('notStored');
        model.toEnd(old);
      } else if (mode === 'append' || mode === 'prepend') {
        const joined = mode === 'append' ? old.text + text : text + old.text;
        const fits = itemSize(1, 0, joined.length) <= MAX_ITEM;
        expect(outcome).toBe(fits ? 'stored' : 'notStored');
        if (fits) model.store(key, joined, old.expires);
      } else if (mode === 'cas' && !right) {
        expect(outcome).toBe('exists');
      } else {
        expect(outcome).toBe('stored');
        model.store(key, text, expires);
      }
    }),
);

const get = fc.tuple(keys, fc.boolean()).map(
  ([key, use]) =>
    new Step(`${use ? 'get' : 'find'} ${key}`, (model, { store }) => {
      const entry = model.find(key);
      const item = store.find(key);
      expect(item && bytesToText(item.data)).toBe(entry?.text);
      expect(item?.cas).toBe(entry?.cas);
      if (!use || item === undefined || entry === undefined) return;
      store.use(item);
      model.toEnd(entry);
    }),
);

const delta = fc.tuple(keys, fc.bigInt(0n, 200n), fc.boolean()).map(
  ([key, by, up]) =>
    new Step(`${up ? 'incr' : 'decr'} ${key} ${by}`, (model, { store }) => {
      const entry = model.find(key);
      const item = store.find(key);
      expect(item === undefined).toBe(entry === undefined);
      if (item === undefined || entry === undefined) return;
      const result = store.delta(item, by, up);
      if (!/^\d+ *$/.test(entry.text) || BigInt(entry.text) >= 2n ** 64n) {
        expect(result).toBe('nonNumeric');
        return;
      }
      const old = BigInt(entry.text);
      const value = up ? (old + by) % 2n ** 64n : old > by ? old - by : 0n;
      expect(result).toBe(value);
      model.store(key, String(value).padEnd(entry.text.length), entry.expires);
    }),
);

const remove = keys.map(
  (key) =>
    new Step(`delete ${key}`, (model, { store }) => {
      const item = store.find(key);
      expect(item === undefined).toBe(model.find(key) === undefined);
      if (item !== undefined) store.remove(item);
      model.entries = model.entries.filter((entry) => entry.key !== key);
    }),
);

const flush = fc.constantFrom(0, 0, 1, 3).map(
  (delay) =>
    new Step(`flush ${delay}`, (model, { store }) => {
      store.flush(delay);
      model.flushAt = model.time + delay * 1000;
      if (delay === 0) model.find('');
    }),
);

const wait = fc.constantFrom(1, 500, 1000, 3000).map(
  (ms) =>
    new Step(`wait ${ms}`, (model, { clock }) => {
      clock.time += ms;
      model.time += ms;
    }),
);

describe('Store', () => {
  it('behaves like a list that is searched linearly', () => {
    const commands = fc.commands([put, put, get, delta, remove, flush, wait], { maxCommands: 120 });
    fc.assert(
      fc.property(commands, (steps) => {
        fc.modelRun(() => ({ model: new Model(), real: still({ maxItem: MAX_ITEM }, LIMIT) }), steps);
      }),
      { numRuns: 400 },
    );
  });
});
