import { Prefixes } from './prefixes.ts';

/** As much is gathered at most. To copy more costs more than to hand the pieces over one by one. */
const MOST = 16 * 1024;

let buffer = Buffer.allocUnsafeSlow(MOST);
let prefixes = new Prefixes(buffer);

/**
 * Small pieces as one, in a buffer that all connections share: the kernel copies it within the call that writes it. To copy
 * a few hundred bytes is quicker than to have Node look up one more piece, and one write of the system than a `writev`.
 *
 * @returns What to write, borrowed: it holds until the next call. Nothing if the pieces are too large.
 */
export function gather(pieces: readonly (string | Uint8Array)[]): Buffer | undefined {
  let most = 0;
  // A character takes three bytes at most: those that take four are two.
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

/** What was gathered last is still to be written: from now on it is the writer's, and the next pieces get a buffer of their own. */
export function giveAway(): void {
  buffer = Buffer.allocUnsafeSlow(MOST);
  prefixes = new Prefixes(buffer);
}
