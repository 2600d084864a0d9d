import type { Carry, Input } from '../../lib/index.ts';

/**
 * Gathers `length` bytes in `carry`.
 *
 * The result has memory of its own, and not a part of Node's pool: a cache keeps some values and evicts their neighbours, and
 * each kept value would retain the 8 KiB of its pool.
 *
 * @returns The bytes, or `undefined` while some have not arrived.
 */
export function gather(carry: Carry, input: Input, length: number): Buffer | undefined {
  const { bytes, at } = input;
  const end = Math.min(bytes.length, at + length - carry.length);
  input.at = end;
  if (end - at === length) return Uint8Array.prototype.slice.call(bytes, at, end) as Buffer;
  if (end > at) carry.add(bytes, at, end, length);
  return carry.length < length ? undefined : carry.take(length);
}

/** Skips `length` bytes, or as many as have arrived. @returns How many are left to skip. */
export function skip(input: Input, length: number): number {
  const skipped = Math.min(length, input.bytes.length - input.at);
  input.at += skipped;
  return length - skipped;
}
