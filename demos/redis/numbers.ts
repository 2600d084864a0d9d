import { Refusal } from './refusal.ts';

const whole = /^(?:0|-?[1-9]\d{0,18})$/;
const MAX = 2n ** 63n - 1n;
const MIN = -(2n ** 63n);

/**
 * Parses an integer of 64 bits in the only form that Redis accepts: no spaces, no `+`, no leading zeros.
 *
 * @throws {Refusal} If the text is not one.
 */
export function toBigInt(text: string, message = 'ERR value is not an integer or out of range'): bigint {
  if (whole.test(text)) {
    const value = BigInt(text);
    if (value >= MIN && value <= MAX) return value;
  }
  throw new Refusal(message);
}

/**
 * Parses an integer into a JavaScript number, for counts and indices. Beyond 2^53 it is rounded, which does not matter because
 * no list is that long.
 */
export function toNumber(text: string, message?: string): number {
  return text.length < 16 && whole.test(text) ? Number(text) : Number(toBigInt(text, message));
}

/** @throws {Refusal} If the sum has more than 64 bits. */
export function addIntegers(text: string, by: bigint): string {
  // Nearly every counter is small, and a bigint costs ten times as much as a number.
  if (text.length < 15 && by < 1_000_000_000_000n && by > -1_000_000_000_000n && whole.test(text)) {
    return String(Number(text) + Number(by));
  }
  const sum = toBigInt(text) + by;
  if (sum > MAX || sum < MIN) throw new Refusal('ERR increment or decrement would overflow');
  return String(sum);
}
