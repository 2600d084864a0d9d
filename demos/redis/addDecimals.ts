import { Refusal } from './refusal.ts';

/**
 * A number as INCRBYFLOAT computes with it: `mantissa × 2^exponent`, with a mantissa of 64 bits, like the `long double` of C.
 * A JavaScript number has 53 bits and would round differently.
 */
interface Extended {
  readonly mantissa: bigint;
  readonly exponent: number;
}

const BITS = 64;
/** Bounds for the position of the highest bit. A number above `TOO_LARGE` overflows; one below `TOO_SMALL` rounds to zero. */
const TOO_LARGE = 16_384;
const TOO_SMALL = -16_445;
/** The most digits after the decimal point in the output. */
const PLACES = 17;
const UNIT = 10n ** BigInt(PLACES);
/** The longest accepted number, in characters. */
const LONGEST = 5119;
/**
 * Bounds for the position of the first digit, counted from the decimal point: 1 for units, 0 for tenths. Outside of them the
 * power of ten is not computed, because that takes seconds and the number is refused in the end.
 */
const HIGHEST_DIGIT = 4933;
const LOWEST_DIGIT = -4950;

const decimal = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/**
 * Adds two decimal fractions as Redis does.
 *
 * @returns The sum with up to 17 digits after the decimal point.
 * @throws {Refusal} If one of them is not a number, or the sum is infinite.
 */
export function addDecimals(text: string, by: string): string {
  const [one, other] = [read(text), read(by)];
  const exponent = Math.min(one.exponent, other.exponent);
  const whole = ({ mantissa, exponent: own }: Extended): bigint => mantissa << BigInt(own - exponent);
  const sum = nearest(whole(one) + whole(other), 1n, exponent);
  if (highest(sum) > TOO_LARGE) throw infinite();
  return write(sum);
}

const infinite = (): Refusal => new Refusal('ERR increment would produce NaN or Infinity');
const invalid = (): Refusal => new Refusal('ERR value is not a valid float');

function read(text: string): Extended {
  if (text.length > LONGEST) throw invalid();
  if (/^[+-]?inf(?:inity)?$/i.test(text)) throw infinite();
  const [, sign, before = '', after = '', exponent = '0'] = decimal.exec(text) ?? [];
  if (sign === undefined || before + after === '') throw invalid();
  const significant = `${before}${after}`.replace(/^0+/, '');
  if (significant === '') return { mantissa: 0n, exponent: 0 };
  const scale = Number(exponent) - after.length;
  const first = significant.length + scale;
  if (first > HIGHEST_DIGIT || first < LOWEST_DIGIT) throw invalid();
  const digits = BigInt(significant) * (sign === '-' ? -1n : 1n);
  const power = 10n ** BigInt(Math.abs(scale));
  const value = scale < 0 ? nearest(digits, power) : nearest(digits * power, 1n);
  if (highest(value) > TOO_LARGE || highest(value) < TOO_SMALL) throw invalid();
  return value;
}

const sizeOf = (value: bigint): bigint => (value < 0n ? -value : value);
const bits = (value: bigint): number => (value === 0n ? 0 : sizeOf(value).toString(2).length);
const highest = ({ mantissa, exponent }: Extended): number => exponent + bits(mantissa);

/** The number nearest to `over / under × 2^exponent`. */
function nearest(over: bigint, under: bigint, exponent = 0): Extended {
  let shift = bits(over) - bits(under) - BITS;
  // The quotient has 64 or 65 bits here.
  if (bits(quotient(over, under, shift)) > BITS) shift++;
  return { mantissa: quotient(over, under, shift), exponent: exponent + shift };
}

/** `over / under / 2^shift`, rounded half to even. */
function quotient(over: bigint, under: bigint, shift: number): bigint {
  const [n, d] = shift < 0 ? [sizeOf(over) << BigInt(-shift), under] : [sizeOf(over), under << BigInt(shift)];
  const [whole, twice] = [n / d, (n % d) * 2n];
  const up = twice > d || (twice === d && whole % 2n === 1n);
  const rounded = up ? whole + 1n : whole;
  return over < 0n ? -rounded : rounded;
}

function write({ mantissa, exponent }: Extended): string {
  const units = quotient(mantissa * UNIT, 1n, -exponent);
  const size = sizeOf(units);
  const fraction = String(size % UNIT)
    .padStart(PLACES, '0')
    .replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${size / UNIT}${fraction === '' ? '' : `.${fraction}`}`;
}
