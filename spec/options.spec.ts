import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  bytes,
  check,
  flag,
  fraction,
  having,
  milliseconds,
  object,
  oneOf,
  describe as short,
  whole,
} from '../lib/options.ts';

const checks = {
  count: whole(1, 10),
  many: whole(0),
  time: milliseconds,
  size: bytes,
  part: fraction,
  flag,
  word: oneOf('a', 'b'),
  observer: having('an observer', 'next', 'error'),
  nested: object({ deep: whole(1), deeper: object({ deepest: whole(1) }) }),
};
const trying = (options: unknown) => () => check('try', options, checks);

describe('a set of checks', () => {
  it.each([
    {},
    { count: 1 },
    { count: 10, many: Number.MAX_SAFE_INTEGER },
    { time: 0 },
    { time: 0.5 },
    { time: Number.POSITIVE_INFINITY },
    { size: 1 },
    { size: Number.POSITIVE_INFINITY },
    { part: 0 },
    { part: 1 },
    { flag: false },
    { word: 'b' },
    { observer: { next() {}, error() {} } },
    { nested: {} },
    { nested: { deep: 1, deeper: { deepest: undefined } } },
    { count: undefined },
  ])('allows %o', (options) => {
    expect(trying(options)).not.toThrow();
  });

  it.each([
    [{ count: 0 }, 'Cannot try: count must be a whole number from 1 to 10, not 0'],
    [{ count: 11 }, 'Cannot try: count must be a whole number from 1 to 10, not 11'],
    [{ count: 1.5 }, 'Cannot try: count must be a whole number from 1 to 10, not 1.5'],
    [{ many: -1 }, 'Cannot try: many must be a whole number of 0 or more, not -1'],
    [{ many: 1e21 }, 'Cannot try: many must be a whole number of 0 or more, not 1e+21'],
    [{ many: Number.POSITIVE_INFINITY }, 'Cannot try: many must be a whole number of 0 or more, not Infinity'],
    [{ time: -0.1 }, 'Cannot try: time must be milliseconds, 0 or more, not -0.1'],
    [{ time: Number.NaN }, 'Cannot try: time must be milliseconds, 0 or more, not NaN'],
    [{ time: Number.NEGATIVE_INFINITY }, 'Cannot try: time must be milliseconds, 0 or more, not -Infinity'],
    [{ size: 0 }, 'Cannot try: size must be bytes, 1 or more, not 0'],
    [{ size: 1.5 }, 'Cannot try: size must be bytes, 1 or more, not 1.5'],
    [{ part: 1.1 }, 'Cannot try: part must be from 0 to 1, not 1.1'],
    [{ nested: { deep: 0 } }, 'Cannot try: nested.deep must be a whole number of 1 or more, not 0'],
    [
      { nested: { deeper: { deepest: -1 } } },
      'Cannot try: nested.deeper.deepest must be a whole number of 1 or more, not -1',
    ],
  ])('throws a RangeError for a number out of its range: %o', (options, message) => {
    expect(trying(options)).toThrow(RangeError);
    expect(trying(options)).toThrow(message);
  });

  it.each([
    [{ count: '5' }, "Cannot try: count must be a whole number from 1 to 10, not '5'"],
    [{ count: 5n }, 'Cannot try: count must be a whole number from 1 to 10, not 5n'],
    [{ count: [5] }, 'Cannot try: count must be a whole number from 1 to 10, not [ 5 ]'],
    [{ count: [5, 5, 5, 5, 5] }, 'not [ 5, 5, 5, ... 2 more items ]'],
    [{ count: null }, 'Cannot try: count must be a whole number from 1 to 10, not null'],
    [{ time: Symbol('s') }, 'Cannot try: time must be milliseconds, 0 or more, not Symbol(s)'],
    [
      { time: Object.create(null) },
      'Cannot try: time must be milliseconds, 0 or more, not [Object: null prototype] {}',
    ],
    [{ flag: 1 }, 'Cannot try: flag must be one of true, false, not 1'],
    [{ word: 'c' }, "Cannot try: word must be one of 'a', 'b', not 'c'"],
    [{ observer: { next() {} } }, 'Cannot try: observer must be an observer, not'],
    [{ observer: null }, 'Cannot try: observer must be an observer, not null'],
    [{ nested: 5 }, 'Cannot try: nested must be an object, not 5'],
    [
      { nested: { deep: 1, shallow: 1 } },
      "Cannot try: nested: there is no option 'shallow'; the options are deep, deeper",
    ],
    [{ cuont: 1 }, "Cannot try: options: there is no option 'cuont'; the options are count, many"],
    [{ toString: 1 }, "Cannot try: options: there is no option 'toString'"],
    [null, 'Cannot try: options must be an object, not null'],
    [7, 'Cannot try: options must be an object, not 7'],
  ])('throws a TypeError for a value of the wrong type, or an option that does not exist: %o', (options, message) => {
    expect(trying(options)).toThrow(TypeError);
    expect(trying(options)).toThrow(message);
  });
});

describe('check', () => {
  const reading = (options: object) => check('try', options, checks);

  it('returns a plain object of the options that were given', () => {
    const given = reading({ count: 1, time: undefined, nested: { deep: 2, deeper: undefined } });
    expect(given).toStrictEqual({ count: 1, nested: { deep: 2 } });
  });

  it.each<[string, object]>([
    ['inherited from an object of defaults', Object.create({ count: 2, word: 'a' })],
    [
      'getters of a class',
      new (class {
        get count() {
          return 2;
        }
        get word() {
          return 'a';
        }
        method() {}
      })(),
    ],
    [
      'fields of a class, and getters of the one it extends',
      new (class extends class {
        get count() {
          return 2;
        }
      } {
        word = 'a';
      })(),
    ],
    ['not enumerable', Object.defineProperties({}, { count: { value: 2 }, word: { value: 'a' } })],
  ])('reads options that are %s', (_, options) => {
    expect(reading(options)).toStrictEqual({ count: 2, word: 'a' });
    expect(check('try', { nested: options }, { nested: object({ count: whole(1), word: oneOf('a') }) })).toStrictEqual({
      nested: { count: 2, word: 'a' },
    });
  });

  it('validates inherited options and getters, too', () => {
    expect(() => reading(Object.create({ count: 0 }))).toThrow('Cannot try: count must be a whole number from 1 to 10');
    expect(() => reading(Object.create({ cuont: 1 }))).toThrow("Cannot try: options: there is no option 'cuont'");
    class Wrong {
      get count() {
        return '5';
      }
    }
    expect(() => reading(new Wrong())).toThrow("Cannot try: count must be a whole number from 1 to 10, not '5'");
    expect(() => reading({ nested: Object.create({ shallow: 1 }) })).toThrow("there is no option 'shallow'");
  });

  it('reads each option once, and keeps its value when the object changes', () => {
    const reads: string[] = [];
    const options = new Proxy(
      { count: 1, nested: { deep: 1 } },
      {
        get(target, name, proxy) {
          reads.push(String(name));
          return Reflect.get(target, name, proxy);
        },
      },
    );
    const given = reading(options);
    options.count = 7;
    options.nested.deep = 7;
    expect(given).toEqual({ count: 1, nested: { deep: 1 } });
    expect(reads.filter((name) => name === 'count')).toHaveLength(1);
    expect([...new Set(reads)].sort()).toEqual(Object.keys(checks).sort());
  });
});

describe('describe', () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const hostile = {
    [inspect.custom]: () => {
      throw new Error('no');
    },
    get [Symbol.toStringTag](): string {
      throw new Error('no');
    },
  };

  it.each<[string, unknown]>([
    ['a long string', 'x'.repeat(100_000)],
    ['many lines', '\n'.repeat(1000)],
    ['an object of many fields', Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`field${i}`, i]))],
    ['a list', Array.from({ length: 10_000 }, () => 'x'.repeat(1000))],
    ['a large object of a class', process],
    ['an Error with a stack', new Error('x'.repeat(10_000))],
    ['a class with a long name', class A {}],
    ['an object that throws when it is inspected', hostile],
    [
      'a proxy whose traps throw',
      new Proxy({}, { get: () => fail(), ownKeys: () => fail(), getPrototypeOf: () => fail() }),
    ],
    ['a revoked proxy', revoked.proxy],
    ['an object without a prototype', Object.create(null)],
    ['a symbol', Symbol('x'.repeat(1000))],
    ['a bigint', 10n ** 1000n],
  ])('shows %s as one short line', (_, value) => {
    const text = short(value);
    expect(text.length).toBeLessThan(250);
    expect(text).not.toContain('\n');
    expect(text).not.toBe('');
  });
});

function fail(): never {
  throw new Error('no');
}
