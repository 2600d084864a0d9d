import fc from 'fast-check';
import type { Observable } from 'rxjs';

/** The notifications of an Observable, in their order. */
export interface Seen<T> {
  readonly values: T[];
  error?: unknown;
  completed: boolean;
}

/** Subscribes and records the notifications. */
export function watch<T>(source: Observable<T>): Seen<T> {
  const seen: Seen<T> = { values: [], completed: false };
  source.subscribe({
    next: (value) => seen.values.push(value),
    error: (error) => {
      seen.error = error;
    },
    complete: () => {
      seen.completed = true;
    },
  });
  return seen;
}

/** Splits bytes into chunks of these lengths, again and again. */
export function chop(bytes: Uint8Array, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    chunks.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return chunks;
}

/** Lengths of chunks: mostly a few bytes, so that each frame is split at each place. */
export const chunkings = fc.array(
  fc.oneof(
    fc.constant(1),
    fc.integer({ min: 1, max: 9 }),
    fc.nat(200).map((n) => n + 1),
  ),
  {
    minLength: 1,
    maxLength: 12,
  },
);
