import { isData } from '../options.ts';
import type { Written } from './handle.ts';
import { Prefixes } from './prefixes.ts';

/**
 * Pieces of one write at most. With one more, a write fails with EINVAL in libuv 1.52 (Node 24.22 and 26.12), also that of a
 * `net.Socket`. Node 20 and 22.23 (libuv 1.51) write three million. All of that was measured.
 */
export const MOST_PIECES = 1024 * 1024;

export const byteLength = (piece: string | Uint8Array): number =>
  typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;

/** The length of one piece in bytes, or of several together. */
export const lengthOf = (data: Written): number =>
  isData(data) ? byteLength(data) : data.reduce((sum, piece) => sum + byteLength(piece), 0);

/** Bytes that are gathered at most. Copying more costs more than to write the pieces one by one. */
const MOST = 16 * 1024;

let buffer = Buffer.allocUnsafeSlow(MOST);
let prefixes = new Prefixes(buffer);

/**
 * Copies small pieces into one buffer, which all connections share: the kernel copies it within the call that writes it.
 * Copying a few hundred bytes is faster than to have Node look up one more piece, and one `write` is faster than a `writev`.
 *
 * @returns The bytes to write, borrowed until the next call; `undefined` if the pieces are too large.
 */
export function gather(pieces: readonly (string | Uint8Array)[]): Buffer | undefined {
  let most = 0;
  // A UTF-16 code unit takes three bytes in UTF-8 at most: characters of four bytes are two code units.
  for (const piece of pieces) most += typeof piece === 'string' ? 3 * piece.length : piece.length;
  if (most > MOST) return undefined;
  let length = 0;
  for (const piece of pieces) {
    if (typeof piece === 'string') {
      length += buffer.write(piece, length);
    } else {
      buffer.set(piece, length);
      length += piece.length;
    }
  }
  return prefixes.of(length);
}

/**
 * Passes the gathered bytes to their writer for good, because the kernel has not taken them yet. The next pieces are gathered
 * in a new buffer.
 */
export function giveAway(): void {
  buffer = Buffer.allocUnsafeSlow(MOST);
  prefixes = new Prefixes(buffer);
}

/**
 * Copies pieces into one new buffer, if they are too many for one write. They are mostly small, and the copy costs less than
 * queuing them did.
 *
 * @returns The buffer, or what is to be written as it is.
 */
export function joinIfTooMany(data: Written): Written {
  if (isData(data) || data.length <= MOST_PIECES) return data;
  return Buffer.concat(data.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
}
