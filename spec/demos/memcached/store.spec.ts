import { describe, expect, it } from 'vitest';
import { Item, itemSize, OVERHEAD } from '../../../demos/memcached/item.ts';
import { Store } from '../../../demos/memcached/store.ts';
import { bytesOf, bytesToText, EPOCH, still } from './support.ts';

const DAY = 86_400;

function textOf(store: Store, key: string): string | undefined {
  const item = store.find(key);
  return item === undefined ? undefined : bytesToText(item.data);
}

describe('Store', () => {
  it('refuses a limit that does not hold two of the largest items', () => {
    expect(() => new Store(1024 * 1024)).toThrow(RangeError);
    expect(() => new Store(Number.NaN)).toThrow(RangeError);
  });

  it('counts an item as the original does', () => {
    const { store } = still();
    store.put('set', 'a', bytesOf('abc'), { flags: 1 });
    // memcached 1.6.18 reports `mem_requested 67` in `stats items`.
    expect(store.bytes).toBe(67);
    expect(itemSize(1, 0, 3)).toBe(63);
  });

  it('expires items at their time, and not before', () => {
    const { store, clock } = still();
    store.put('set', 'relative', bytesOf('1'), { expires: store.expiry(10) });
    store.put('set', 'absolute', bytesOf('2'), { expires: store.expiry(EPOCH + 20) });
    store.put('set', 'always', bytesOf('3'), { expires: store.expiry(0) });
    store.put('set', 'never', bytesOf('4'), { expires: store.expiry(-1) });
    store.put('set', 'month', bytesOf('5'), { expires: store.expiry(30 * DAY) });
    store.put('set', '1970', bytesOf('6'), { expires: store.expiry(30 * DAY + 1) });
    expect(textOf(store, 'never')).toBeUndefined();
    expect(textOf(store, '1970')).toBeUndefined();
    clock.time = 9_999;
    expect(textOf(store, 'relative')).toBe('1');
    clock.time = 10_000;
    expect(textOf(store, 'relative')).toBeUndefined();
    clock.time = 19_999;
    expect(textOf(store, 'absolute')).toBe('2');
    clock.time = 20_000;
    expect(textOf(store, 'absolute')).toBeUndefined();
    clock.time = 30 * DAY * 1000 - 1;
    expect(textOf(store, 'month')).toBe('5');
    clock.time += 1;
    expect(textOf(store, 'month')).toBeUndefined();
    expect(textOf(store, 'always')).toBe('3');
    expect(store.counters.get_expired).toBe(5);
  });

  it('evicts the least recently used item', () => {
    const { store } = still({ maxItem: 1060 }, 3 * (itemSize(1, 0, 1000) + OVERHEAD));
    for (const key of ['a', 'b', 'c']) store.put('set', key, Buffer.alloc(1000));
    const a = store.find('a');
    if (a instanceof Item) store.use(a);
    store.put('set', 'd', Buffer.alloc(1000));
    expect(['a', 'b', 'c', 'd'].filter((key) => store.find(key) !== undefined)).toEqual(['a', 'c', 'd']);
    expect(store.counters).toMatchObject({ evictions: 1, evicted_unfetched: 1 });
  });

  it('refuses new items instead of evicting, with `evictions: false`', () => {
    const { store } = still({ maxItem: 1100, evictions: false }, 3000 + 3 * OVERHEAD);
    store.put('set', 'a', Buffer.alloc(900));
    store.put('set', 'b', Buffer.alloc(1000));
    store.put('set', 'c', Buffer.alloc(900));
    expect(store.bytes).toBe(2980);
    expect(store.put('set', 'd', Buffer.alloc(1))).toBe('noMemory');
    expect(store.put('append', 'a', Buffer.alloc(21))).toBe('notStored');
    expect(store.find('a')?.data.length).toBe(900);
    expect(store.put('append', 'a', Buffer.alloc(20))).toBeInstanceOf(Item);
    // No value is better than one that its owner believes to be replaced.
    expect(store.put('set', 'a', Buffer.alloc(921))).toBe('noMemory');
    expect(store.find('a')).toBeUndefined();
    expect(store.counters.evictions).toBe(0);
  });

  it('evicts when the limit is lowered', () => {
    const { store } = still({ maxItem: 1024 }, 10_000);
    for (const key of ['a', 'b', 'c', 'd']) store.put('set', key, Buffer.alloc(900));
    store.limit = 3000;
    expect([store.size, store.used <= 3000]).toEqual([2, true]);
    expect(store.find('d')).toBeDefined();
  });

  it('flushes the items that exist at the time, and none that are stored later', () => {
    const { store, clock } = still();
    store.put('set', 'old', bytesOf('1'));
    store.flush();
    store.put('set', 'new', bytesOf('2'));
    expect([textOf(store, 'old'), textOf(store, 'new')]).toEqual([undefined, '2']);
    store.flush(10);
    clock.time = 5_000;
    store.put('set', 'newer', bytesOf('3'));
    clock.time = 9_999;
    expect([textOf(store, 'new'), textOf(store, 'newer')]).toEqual(['2', '3']);
    clock.time = 10_000;
    expect(['new', 'newer'].map((key) => textOf(store, key))).toEqual([undefined, undefined]);
    store.put('set', 'newest', bytesOf('4'));
    expect(textOf(store, 'newest')).toBe('4');
    expect(store.counters).toMatchObject({ get_flushed: 2, reclaimed: 1 });
  });

  it('removes expired items for stored ones, and counts them', () => {
    const { store, clock } = still();
    for (const key of ['a', 'b', 'c', 'd', 'e']) store.put('set', key, bytesOf('1'), { expires: 1000 });
    store.put('set', 'stays', bytesOf('1'));
    clock.time = 1000;
    expect(store.counters.reclaimed).toBe(0);
    // One of the same key, and two of the oldest.
    store.put('set', 'c', bytesOf('2'));
    expect([store.size, store.counters.reclaimed, store.counters.expired_unfetched]).toEqual([4, 3, 3]);
    store.put('add', 'f', bytesOf('2'));
    expect([store.size, store.counters.reclaimed, store.counters.expired_unfetched]).toEqual([3, 5, 5]);
    store.put('set', 'g', bytesOf('2'));
    expect([store.size, store.counters.reclaimed, store.counters.evictions]).toEqual([4, 5, 0]);
    expect(store.counters.get_expired).toBe(1);
  });

  it('never modifies data that it has returned', () => {
    const { store } = still();
    const item = store.put('set', 'n', bytesOf('10'));
    if (!(item instanceof Item)) throw new Error('was not stored');
    const before = item.data;
    expect(store.delta(item, 1n, false)).toBe(9n);
    expect([bytesToText(before), bytesToText(item.data)]).toEqual(['10', '9 ']);
    store.put('append', 'n', bytesOf('x'));
    expect(bytesToText(before)).toBe('10');
  });

  it('rejects an empty value as no number before it compares the cas id, as the original does', () => {
    const { store } = still();
    const asked = (data: string) => {
      const item = store.put('set', 'n', bytesOf(data));
      return item instanceof Item ? store.delta(item, 1n, true, item.cas + 1) : item;
    };
    expect([asked(''), asked('x'), asked('1')]).toEqual(['nonNumeric', 'exists', 'exists']);
  });
});
