import fc from 'fast-check';
import type { Observable } from 'rxjs';

/** What came out of an Observable, in the order it came. */
export interface Seen<T> {
  readonly values: T[];
  error?: unknown;
  completed: boolean;
}

/** Subscribes and takes down what comes. */
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

/** Cuts bytes into chunks of these lengths, round and round. */
export function chop(bytes: Uint8Array, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    chunks.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return chunks;
}

/** Lengths of chunks: mostly a few bytes, so that everything is cut everywhere. */
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
