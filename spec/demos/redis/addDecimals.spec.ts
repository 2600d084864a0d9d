import { describe, expect, it, vi } from 'vitest';
import { addDecimals } from '../../../demos/redis/addDecimals.ts';

/** The results are those of redis-server 7.0. The differential spec compares any other numbers. */
describe('INCRBYFLOAT computes in binary, with 64 bits', () => {
  it.each([
    ['10.5', '0.1', '10.6'],
    ['0.1', '0.2', '0.3'],
    ['3.0e3', '200', '3200'],
    ['-0.25', '0.25', '0'],
    ['.5', '5.', '5.5'],
    ['9223372036854775807', '0.1', '9223372036854775807'],
    ['9223372036854775807', '1.5', '9223372036854775808'],
    ['5', '99999999999999999999', '100000000000000000008'],
    ['1e-17', '5e-18', '0.00000000000000002'],
    ['39895.856684', '3.6e-4951', '39895.85668400000000133'],
    ['1.5', '0e99999', '1.5'],
    ['1.5', '-0.0e-999999999999', '1.5'],
    ['1.5', '1e0000000000001', '11.5'],
    ['1.5', `0.${'0'.repeat(4999)}1e5000`, '2.5'],
  ])('%s + %s = %s', (one, other, sum) => {
    expect(addDecimals(one, other)).toBe(sum);
    expect(addDecimals(other, one)).toBe(sum);
  });

  it.each([
    ['1', 'inf', 'ERR increment would produce NaN or Infinity'],
    ['1.1e4932', '1.1e4932', 'ERR increment would produce NaN or Infinity'],
    ['1', '1.2e4932', 'ERR value is not a valid float'],
    ['1', '1.8e-4951', 'ERR value is not a valid float'],
    ['1', '1e-99999', 'ERR value is not a valid float'],
    ['1', '-1e99999', 'ERR value is not a valid float'],
    ['1', '1e-9223372036854775808', 'ERR value is not a valid float'],
    ['1', `1e${'9'.repeat(5000)}`, 'ERR value is not a valid float'],
    ['1', '.', 'ERR value is not a valid float'],
    ['1', ' 1', 'ERR value is not a valid float'],
    ['1', '1'.repeat(5120), 'ERR value is not a valid float'],
  ])('%s + %s is refused', (one, other, why) => {
    expect(() => addDecimals(one, other)).toThrow(why);
  });

  it('computes no power of ten that is out of range', () => {
    const work = vi.fn(BigInt);
    vi.stubGlobal('BigInt', work);
    try {
      for (const huge of ['1e-99999', '1e99999', `${'9'.repeat(5000)}e99999`, '0e99999']) {
        try {
          addDecimals('1', huge);
        } catch {}
      }
    } finally {
      vi.unstubAllGlobals();
    }
    for (const [power] of work.mock.calls) expect(Math.abs(Number(power))).toBeLessThan(100);
    expect(work).toHaveBeenCalled();
  });

  it('refuses a text that is longer than any number without parsing it', () => {
    expect(() => addDecimals('1', '9'.repeat(64 * 1024 * 1024))).toThrow('not a valid float');
  });
});
