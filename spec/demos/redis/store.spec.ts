import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Database } from '../../../demos/redis/database.ts';
import { Deque } from '../../../demos/redis/store/deque.ts';
import { RandomSet } from '../../../demos/redis/store/randomSet.ts';
import { expectRoom, Store } from '../../../demos/redis/store/store.ts';
import { OurClient } from './support/ours.ts';

/** Reports the maximum number of entries. */
class FullMap extends Map<string, string> {
  override get size(): number {
    return 2 ** 23;
  }
}
class FullRandomSet extends RandomSet<string> {
  override get size(): number {
    return 2 ** 23;
  }
}

describe('a hash or set with the maximum number of entries', () => {
  it('refuses new entries before the first one is added', async () => {
    const db = new Database();
    const client = new OurClient(db);
    db.store.set('hash', new FullMap());
    db.store.set('set', new FullRandomSet());
    const { changes } = db.store;
    const refused = '-OOM command not allowed: the limit is 8388608 entries\r\n';
    expect(await client.ask('HSET', 'hash', 'a', '1', 'b', '2')).toBe(refused);
    expect(await client.ask('SADD', 'set', 'a', 'b')).toBe(refused);
    expect(await client.ask('HGETALL', 'hash')).toBe('*0\r\n');
    expect(await client.ask('SMEMBERS', 'set')).toBe('*0\r\n');
    expect(db.store.changes).toBe(changes);
  });

  it('accepts as many entries as fit', () => {
    expect(() => expectRoom(7, 3, 10)).not.toThrow();
    expect(() => expectRoom(7, 4, 10)).toThrow('the limit is 10 entries');
  });
});

describe('Deque', () => {
  type Real = Deque<number>;
  type Model = number[];
  const commands = [
    fc.integer().map((item) =>
      step(
        `pushBack ${item}`,
        (m) => m.push(item),
        (r) => r.pushBack(item),
      ),
    ),
    fc.integer().map((item) =>
      step(
        `pushFront ${item}`,
        (m) => m.unshift(item),
        (r) => r.pushFront(item),
      ),
    ),
    fc.constant(
      step(
        'popBack',
        (m) => m.pop(),
        (r) => r.popBack(),
      ),
    ),
    fc.constant(
      step(
        'popFront',
        (m) => m.shift(),
        (r) => r.popFront(),
      ),
    ),
    fc.tuple(fc.nat(20), fc.nat(20)).map(([from, to]) =>
      step(
        `slice ${from} ${to}`,
        (m) => m.slice(from, to),
        (r) => r.slice(from, to),
      ),
    ),
  ];
  function step(
    name: string,
    onModel: (model: Model) => unknown,
    onReal: (real: Real) => unknown,
  ): fc.Command<Model, Real> {
    return {
      check: () => true,
      run: (model, real) => {
        const [expected, actual] = [onModel(model), onReal(real)];
        if (!name.startsWith('push')) expect(actual).toEqual(expected);
        expect(real.length).toBe(model.length);
        expect(real.slice(0, real.length)).toEqual(model);
      },
      toString: () => name,
    };
  }

  it('behaves like an array', () => {
    fc.assert(
      fc.property(fc.commands(commands, { maxCommands: 200, size: 'max' }), (steps) => {
        fc.modelRun(() => ({ model: [], real: new Deque<number>() }), steps);
      }),
      { numRuns: 100 },
    );
  });

  it('pushes and pops a million items at both ends', () => {
    const deque = new Deque<number>();
    for (let item = 0; item < 500_000; item++) {
      deque.pushFront(-item);
      deque.pushBack(item);
    }
    let sum = 0;
    while (deque.length > 0) sum += (deque.popFront() ?? 0) + (deque.popBack() ?? 0);
    expect(sum).toBe(0);
  });
});

describe('RandomSet', () => {
  it('is a set whose draws reach every member', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(10))), (steps) => {
        const [set, model] = [new RandomSet<number>(), new Set<number>()];
        for (const [adds, item] of steps) {
          if (adds) expect(set.add(item)).toBe(!model.has(item) && !!model.add(item));
          else expect(set.delete(item)).toBe(model.delete(item));
        }
        expect([...set.values()].sort()).toEqual([...model].sort());
        const drawn = set.values().map((_, place) => set.draw(place / set.size));
        expect(new Set(drawn)).toEqual(model);
      }),
    );
  });
});

/** The simplest model of the store. */
interface Model {
  now: number;
  values: Map<string, { value: string; expiresAt: number }>;
}
interface Real {
  store: Store;
  clock: { now: number };
}

const alive = (model: Model): [string, { value: string; expiresAt: number }][] =>
  [...model.values].filter(([, { expiresAt }]) => model.now <= expiresAt);

const act = (name: string, run: (model: Model, real: Real) => void): fc.Command<Model, Real> => ({
  check: () => true,
  run: (model, real) => {
    run(model, real);
    model.values = new Map(alive(model));
    expect([...real.store.keys()].sort()).toEqual(
      alive(model)
        .map(([key]) => key)
        .sort(),
    );
  },
  toString: () => name,
});

const key = fc.constantFrom('a', 'b', 'c', 'd');
const actions = [
  fc.tuple(key, fc.string(), fc.option(fc.nat(50), { nil: undefined })).map(([name, value, life]) =>
    act(`set ${name} for ${life}`, (model, { store, clock }) => {
      const expiresAt = life === undefined ? Number.POSITIVE_INFINITY : clock.now + life;
      model.values.delete(name);
      model.values.set(name, { value, expiresAt });
      store.set(name, value, expiresAt);
    }),
  ),
  key.map((name) =>
    act(`delete ${name}`, (model, { store }) => expect(store.delete(name)).toBe(model.values.delete(name))),
  ),
  key.map((name) =>
    act(`get ${name}`, (model, { store }) => expect(store.string(name)).toBe(model.values.get(name)?.value)),
  ),
  fc.tuple(key, fc.nat(50)).map(([name, life]) =>
    act(`expire ${name} in ${life}`, (model, { store, clock }) => {
      const [entry, known] = [store.find(name), model.values.get(name)];
      expect(entry === undefined).toBe(known === undefined);
      if (entry !== undefined && known !== undefined) {
        store.expireAt(entry, clock.now + life);
        known.expiresAt = clock.now + life;
      }
    }),
  ),
  fc.nat(30).map((passed) =>
    act(`wait ${passed}`, (model, { clock }) => {
      clock.now += passed;
      model.now += passed;
    }),
  ),
  fc.constant(act('sweep', (_, { store }) => void store.sweep())),
  fc.constant(
    act('draw', (model, { store }) => {
      const drawn = store.draw();
      if (drawn === undefined) expect(alive(model)).toEqual([]);
      else expect(model.values.has(drawn)).toBe(true);
    }),
  ),
  fc.constant(
    act('clear', (model, { store }) => {
      store.clear();
      model.values.clear();
    }),
  ),
];

describe('Store', () => {
  it('is a map whose keys expire', () => {
    fc.assert(
      fc.property(fc.commands(actions, { maxCommands: 100, size: 'max' }), (steps) => {
        const clock = { now: 1000 };
        const setup = () => ({
          model: { now: 1000, values: new Map() } as Model,
          real: { store: new Store({ now: () => clock.now }), clock },
        });
        fc.modelRun(setup, steps);
      }),
      { numRuns: 300 },
    );
  });

  it('removes most expired keys without a lookup, and reports them', () => {
    let now = 0;
    const store = new Store({ now: () => now });
    const gone: string[] = [];
    store.expired = (name) => gone.push(name);
    for (let count = 0; count < 10_000; count++) store.set(`k${count}`, '', count < 8000 ? 10 : 1_000_000);
    store.set('forever', '');
    now = 11;
    for (let cycle = 0; cycle < 100; cycle++) store.sweep();
    expect(gone.length).toBe(10_001 - store.size);
    expect(store.size).toBeLessThan(2001 * 2);
    expect(store.size).toBeGreaterThanOrEqual(2001);
  });

  it('looks at a bounded number of keys in one sweep', () => {
    let now = 0;
    const store = new Store({ now: () => now });
    for (let count = 0; count < 10_000; count++) store.set(`k${count}`, '', 10);
    now = 11;
    expect(store.sweep(20, 5)).toBe(100);
  });

  it('shows each key that exists during a whole scan exactly once, whatever keys are added and removed', () => {
    const changes = fc.array(fc.tuple(fc.boolean(), fc.nat(60)), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(changes, { maxLength: 30 }), (count, rounds) => {
        const store = new Store();
        for (let index = 0; index < 50; index++) {
          store.set(`passing${index}`, '');
          store.set(`stays${index}`, '');
        }
        const shown: string[] = [];
        let cursor = 0;
        let steps = 0;
        do {
          const page = store.scan(cursor, count);
          cursor = page.cursor;
          shown.push(...page.entries.map((entry) => entry.key));
          for (const [adds, index] of rounds[steps] ?? []) {
            if (adds) store.set(`passing${index}`, '');
            else store.delete(`passing${index}`);
          }
          expect(++steps).toBeLessThanOrEqual(101);
        } while (cursor !== 0);
        const stayed = shown.filter((name) => name.startsWith('stays'));
        expect(stayed.sort()).toEqual(Array.from({ length: 50 }, (_, index) => `stays${index}`).sort());
      }),
    );
  });
});
