import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { parseI32, parseU32, parseU64 } from '../../../demos/memcached/numbers.ts';

describe('numbers', () => {
  it.each([
    ['0', 0],
    ['42', 42],
    ['+7', 7],
    [' \t7', 7],
    ['7 rest', 7],
    ['7\trest', 7],
    ['0000000000012', 12],
    ['4294967295', 4294967295],
    ['4294967296', 0],
    ['-1', undefined],
    ['', undefined],
    ['x', undefined],
    ['7x', undefined],
    ['7.5', undefined],
    ['99999999999999999999', undefined],
  ])('reads %j as flags %s', (text, value) => expect(parseU32(text)).toBe(value));

  it.each([
    ['-1', -1],
    ['-2147483648', -2147483648],
    ['2147483648', -2147483648],
    ['4294967297', 1],
    ['9223372036854775807', -1],
    ['9223372036854775808', undefined],
    ['--1', undefined],
  ])('reads %j as a time or length %s', (text, value) => expect(parseI32(text)).toBe(value));

  it.each([
    ['18446744073709551615', 18446744073709551615n],
    ['18446744073709551616', undefined],
    ['-1', undefined],
    ['-9223372036854775809', 9223372036854775807n],
  ])('reads %j as a delta %s', (text, value) => expect(parseU64(text)).toBe(value));

  it('computes no number that is longer than 64 bits', () => {
    const [zeros, digits] = ['0'.repeat(10_000), '9'.repeat(10_000)];
    const { asIntN, asUintN } = BigInt;
    const work = vi.fn(BigInt);
    vi.stubGlobal('BigInt', Object.assign(work, { asIntN, asUintN }));
    try {
      expect([parseU32(digits), parseI32(`-${digits}`), parseU64(`+${digits}`)]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect([parseU32(`${zeros}12`), parseI32(`-${zeros}12`), parseU64(zeros)]).toEqual([12, -12, 0n]);
    } finally {
      vi.unstubAllGlobals();
    }
    for (const [text] of work.mock.calls) expect(String(text).length).toBeLessThanOrEqual(20);
    expect(work).toHaveBeenCalled();
  });

  it('reads back every number of its range', () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** 64n - 1n),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.integer(),
        (u64, u32, i32) => {
          expect(parseU64(String(u64))).toBe(u64);
          expect(parseU32(String(u32))).toBe(u32);
          expect(parseI32(String(i32))).toBe(i32);
        },
      ),
    );
  });
});
