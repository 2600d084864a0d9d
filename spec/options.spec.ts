import { describe, expect, it } from 'vitest';
import { bytes, check, flag, having, milliseconds, object, oneOf, share, whole } from '../lib/options.ts';

const checks = {
  count: whole(1, 10),
  many: whole(0),
  time: milliseconds,
  size: bytes,
  part: share,
  flag,
  word: oneOf('a', 'b'),
  observer: having('an observer', 'next', 'error'),
  nested: object({ deep: whole(1), deeper: object({ deepest: whole(1) }) }),
};
const trying = (options: unknown) => () => check('try', options, checks);

describe('options', () => {
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
    [{ nested: { deep: 1, shallow: 1 } }, "Cannot try: nested: there is no option 'shallow'; it knows deep, deeper"],
    [{ cuont: 1 }, "Cannot try: options: there is no option 'cuont'; it knows count, many"],
    [{ toString: 1 }, "Cannot try: options: there is no option 'toString'"],
    [null, 'Cannot try: options must be an object, not null'],
    [7, 'Cannot try: options must be an object, not 7'],
  ])('throws a TypeError for what is no such thing or no such option: %o', (options, message) => {
    expect(trying(options)).toThrow(TypeError);
    expect(trying(options)).toThrow(message);
  });
});
