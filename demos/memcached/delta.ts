import { Buffer } from 'node:buffer';
import { parseU64 } from './numbers.ts';

/** How much of a value is searched for a number, in bytes. A number has up to 20 digits, and some zeros and white space. */
const LONGEST = 1024;

/**
 * Adds to a decimal number, wrapping at 2^64, or subtracts from it, stopping at 0. A number that became shorter is padded with
 * spaces, because the length of a value changes only when it must.
 *
 * @returns The new number and its bytes, or `undefined` if the value is not a number.
 */
export function increased(data: Uint8Array, by: bigint, up: boolean): { value: bigint; data: Uint8Array } | undefined {
  const old = parseU64(latin1(data.length > LONGEST ? data.subarray(0, LONGEST) : data));
  if (old === undefined) return undefined;
  const value = up ? BigInt.asUintN(64, old + by) : old > by ? old - by : 0n;
  const text = value.toString().padEnd(data.length);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return { value, data: bytes };
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
