import { Refusal } from './refusal.ts';

const whole = /^(?:0|-?[1-9]\d{0,18})$/;
const decimal = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,5}))?$/;
const MAX = 2n ** 63n - 1n;
const MIN = -(2n ** 63n);
/** Digits behind the point that INCRBYFLOAT keeps. */
const PLACES = 17;
const UNIT = 10n ** BigInt(PLACES);

/**
 * A whole number of 64 bits, written the one way Redis writes it: no blanks, no `+`, no leading zeros.
 *
 * @throws {Refusal} If it is none.
 */
export function toBigInt(text: string, message = 'ERR value is not an integer or out of range'): bigint {
  if (whole.test(text)) {
    const value = BigInt(text);
    if (value >= MIN && value <= MAX) return value;
  }
  throw new Refusal(message);
}

/**
 * A whole number that a JavaScript number holds, for counts and indices: beyond 2^53 it is rounded, which no list's
 * length can tell.
 */
export function toNumber(text: string, message?: string): number {
  return text.length < 16 && whole.test(text) ? Number(text) : Number(toBigInt(text, message));
}

/** @throws {Refusal} If the sum has more than 64 bits. */
export function addIntegers(text: string, by: bigint): string {
  // Nearly every counter is small, and a bigint costs ten times a number.
  if (text.length < 15 && by < 1_000_000_000_000n && by > -1_000_000_000_000n && whole.test(text)) {
    return String(Number(text) + Number(by));
  }
  const sum = toBigInt(text) + by;
  if (sum > MAX || sum < MIN) throw new Refusal('ERR increment or decrement would overflow');
  return String(sum);
}

/**
 * Adds two decimal fractions exactly, to 17 places behind the point. Redis adds binary numbers of 80 bits here, which
 * JavaScript does not have; what they agree on is everything of up to 18 digits.
 *
 * @throws {Refusal} If one is no number, or is infinite.
 */
export function addDecimals(text: string, by: string): string {
  return format(toUnits(text) + toUnits(by));
}

function toUnits(text: string): bigint {
  if (/^[+-]?inf(?:inity)?$/i.test(text)) throw new Refusal('ERR increment would produce NaN or Infinity');
  const [, sign, before = '', after = '', exponent = '0'] = decimal.exec(text) ?? [];
  if (sign === undefined || before + after === '' || Math.abs(Number(exponent)) > 4932) {
    throw new Refusal('ERR value is not a valid float');
  }
  const digits = BigInt(before + after);
  const shift = PLACES + Number(exponent) - after.length;
  const units = shift >= 0 ? digits * 10n ** BigInt(shift) : rounded(digits, 10n ** BigInt(-shift));
  return sign === '-' ? -units : units;
}

const rounded = (value: bigint, divisor: bigint): bigint => (value + divisor / 2n) / divisor;

function format(units: bigint): string {
  const size = units < 0n ? -units : units;
  const fraction = String(size % UNIT)
    .padStart(PLACES, '0')
    .replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${size / UNIT}${fraction === '' ? '' : `.${fraction}`}`;
}
