import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Linked, LinkedSet } from '../lib/linkedSet.ts';

class Item implements Linked<Item> {
  following: Item | undefined;
  preceding: Item | undefined;
  place = 0;
  memberOf: LinkedSet<Item> | undefined;
  readonly name: number;

  constructor(name: number) {
    this.name = name;
  }
}

const items = Array.from({ length: 8 }, (_, name) => new Item(name));
const names = (all: Iterable<Item>) => [...all].map(({ name }) => name);

/** Adds an item unless it is in the set, or else deletes it; from both sets. */
const toggles = fc.array(fc.nat(items.length - 1), { maxLength: 40 });

describe('LinkedSet', () => {
  it('has the same items as a Set, in the same order', () => {
    fc.assert(
      fc.property(toggles, (steps) => {
        const { set, model, toggle } = both();
        for (const step of steps) {
          toggle(step);
          expect(names(set)).toEqual(names(model));
          expect(set.size).toBe(model.size);
          expect(set.first).toBe([...model][0]);
          for (const item of items) expect(set.has(item)).toBe(model.has(item));
        }
      }),
    );
  });

  it('passes what a Set passes to a loop whose body adds and deletes items', () => {
    fc.assert(
      fc.property(
        toggles,
        fc.array(fc.array(fc.nat(items.length - 1), { maxLength: 4 }), { maxLength: 20 }),
        (before, during) => {
          const visited = [both(), both()].map(({ set, model, toggle }, which) => {
            const all: number[] = [];
            for (const step of before) toggle(step);
            for (const { name } of which === 0 ? set : model) {
              // An item that the body deletes and adds again comes once more. So the loop ends only if the body does.
              for (const step of during[all.length] ?? []) toggle(step);
              all.push(name);
            }
            return all;
          });
          expect(visited[0]).toEqual(visited[1]);
        },
      ),
    );
  });

  it('has no item of another set, and nothing else', () => {
    const { set, toggle } = both();
    toggle(0);
    const [item] = items as [Item];
    expect([set.has(item), new LinkedSet<Item>().has(item)]).toEqual([true, false]);
    for (const other of [null, undefined, {}, 7]) expect(set.has(other as never)).toBe(false);
  });

  it('finds the next item at once although each that was passed was deleted meanwhile, and others before it were not', () => {
    const set = new LinkedSet<Item>();
    const all = Array.from({ length: 1000 }, (_, name) => new Item(name));
    let looks = 0;
    for (const item of all) {
      let { following } = item;
      Object.defineProperty(item, 'following', {
        get() {
          looks++;
          return following;
        },
        set(to) {
          following = to;
        },
      });
      set.add(item);
    }
    looks = 0;
    for (const item of set) if (item.name % 2 === 1) set.delete(item);
    expect(set.size).toBe(500);
    expect(looks).toBeLessThan(5000);
  });

  it('deletes an item once, and links nothing to it', () => {
    const { set, toggle } = both();
    for (const name of [0, 1, 2]) toggle(name);
    const [, item] = items as [Item, Item];
    expect([set.delete(item), set.delete(item)]).toEqual([true, false]);
    expect([item.following, item.preceding]).toEqual([undefined, undefined]);
    expect(names(set)).toEqual([0, 2]);
  });
});

/** An empty set and a `Set`, and a function that changes both alike. */
function both() {
  for (const item of items) Object.assign(item, new Item(item.name));
  const set = new LinkedSet<Item>();
  const model = new Set<Item>();
  const toggle = (name: number) => {
    const item = items[name] as Item;
    if (model.delete(item)) {
      expect(set.delete(item)).toBe(true);
    } else {
      model.add(item);
      set.add(item);
    }
  };
  return { set, model, toggle };
}
