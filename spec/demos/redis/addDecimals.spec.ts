import { describe, expect, it } from 'vitest';
import { addDecimals } from '../../../demos/redis/addDecimals.ts';

/** Each as redis-server 7.0 says it. The differential spec compares any others. */
describe('INCRBYFLOAT reckons in binary, with 64 bits', () => {
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
  ])('%s + %s = %s', (one, other, sum) => {
    expect(addDecimals(one, other)).toBe(sum);
    expect(addDecimals(other, one)).toBe(sum);
  });

  it.each([
    ['1', 'inf', 'ERR increment would produce NaN or Infinity'],
    ['1.1e4932', '1.1e4932', 'ERR increment would produce NaN or Infinity'],
    ['1', '1.2e4932', 'ERR value is not a valid float'],
    ['1', '1.8e-4951', 'ERR value is not a valid float'],
    ['1', '.', 'ERR value is not a valid float'],
    ['1', ' 1', 'ERR value is not a valid float'],
    ['1', '1'.repeat(5120), 'ERR value is not a valid float'],
  ])('%s + %s is refused', (one, other, why) => {
    expect(() => addDecimals(one, other)).toThrow(why);
  });

  it('looks at no more of what a client sends than a number can be', () => {
    expect(() => addDecimals('1', '9'.repeat(64 * 1024 * 1024))).toThrow('not a valid float');
  });
});
