import type { Carry, Input } from '../../lib/index.ts';

/**
 * So many bytes, in memory of their own, once they have come. Until then they are gathered in `carry`.
 *
 * Of their own, and not from Node's pool: a cache keeps some values and evicts their neighbours, and each would keep the
 * 8 KiB that it lay in.
 */
export function gather(carry: Carry, input: Input, length: number): Buffer | undefined {
  const { bytes, at } = input;
  const end = Math.min(bytes.length, at + length - carry.length);
  input.at = end;
  if (end - at === length) return Uint8Array.prototype.slice.call(bytes, at, end) as Buffer;
  if (end > at) carry.add(bytes, at, end, length);
  return carry.length < length ? undefined : carry.take(length);
}

/** Passes over so many bytes, or as many as have come. @returns How many are still to come. */
export function pass(input: Input, length: number): number {
  const passed = Math.min(length, input.bytes.length - input.at);
  input.at += passed;
  return length - passed;
}
