/**
 * Numbers as memcached parses them, with C's `strtol` family. White space and a sign may precede the digits. The number ends at
 * white space or the end of the text. A number is parsed as 64 bits and then truncated to 32 bits without an error.
 */

const NUMBER = /^[ \t\n\v\f\r]*([+-]?)(\d+)(?=[ \t\n\v\f\r]|$)/;
/** The digits of the largest number of 64 bits. */
const DIGITS = 20;

/** Flags: a 32-bit unsigned number. @returns `undefined` where memcached refuses the text. */
export function parseU32(text: string): number | undefined {
  const small = fewDigits(text);
  if (small >= 0) return small;
  const value = parseU64(text);
  return value === undefined ? undefined : Number(BigInt.asUintN(32, value));
}

/** Expiry times and lengths: a 32-bit signed number. @returns `undefined` where memcached refuses the text. */
export function parseI32(text: string): number | undefined {
  const small = fewDigits(text);
  if (small >= 0) return small;
  const [sign, size] = read(text);
  if (size === undefined) return undefined;
  const value = sign === '-' ? -size : size;
  if (BigInt.asIntN(64, value) !== value) return undefined;
  return Number(BigInt.asIntN(32, value));
}

/** Deltas and cas ids: a 64-bit unsigned number. @returns `undefined` where memcached refuses the text. */
export function parseU64(text: string): bigint | undefined {
  const [sign, value] = read(text);
  if (value === undefined) return undefined;
  if (BigInt.asUintN(64, value) !== value) return undefined;
  if (sign !== '-') return value;
  // A minus sign wraps around. The number is refused if the wrapped result has its highest bit set, as the original does it.
  const wrapped = BigInt.asUintN(64, -value);
  return BigInt.asIntN(64, wrapped) < 0n ? undefined : wrapped;
}

/** The sign and the magnitude. A number longer than 64 bits is refused, so its magnitude is not computed: that costs time. */
function read(text: string): [sign: string, size: bigint | undefined] {
  const [, sign = '', digits = ''] = NUMBER.exec(text) ?? [];
  const significant = digits.replace(/^0+(?=\d)/, '');
  return [sign, significant === '' || significant.length > DIGITS ? undefined : BigInt(significant)];
}

/** The value of one to nine plain digits, which nearly all numbers on the wire are; -1 for anything else. */
function fewDigits(text: string): number {
  if (text.length === 0 || text.length > 9) return -1;
  let value = 0;
  for (let index = 0; index < text.length; index += 1) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
