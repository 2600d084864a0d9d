import { Buffer } from 'node:buffer';
import { parseU64 } from './numbers.ts';

/** How far into a value to look for a number, in bytes. 20 digits and some zeros and white space are all it can be. */
const LONGEST = 1024;

/**
 * Adds to a number written in decimal, wrapping at 2^64, or subtracts from it, stopping at 0. A number that became
 * shorter is filled up with spaces, as the length of a value changes only when it has to.
 *
 * @returns The new number and its bytes, or `undefined` if there is no number.
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
