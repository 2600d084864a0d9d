import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gather, giveAway, joinIfTooMany, MOST_PIECES } from '../../lib/transport/gather.ts';

const anyPieces = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 300 })), {
  maxLength: 20,
});
const joined = (pieces: readonly (string | Uint8Array)[]) =>
  Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));

describe('gather', () => {
  it('joins small pieces of text and bytes', () => {
    fc.assert(
      fc.property(anyPieces, (pieces) => {
        expect(gather(pieces)).toEqual(joined(pieces));
      }),
    );
  });

  it('returns nothing for pieces that are too large, or for text that may be too large as UTF-8', () => {
    expect(gather([Buffer.alloc(16 * 1024)])).toHaveLength(16 * 1024);
    expect(gather([Buffer.alloc(16 * 1024), 'x'])).toBeUndefined();
    expect(gather(['x'.repeat(6000)])).toBeUndefined();
  });

  it('never overwrites bytes that it has returned', () => {
    const first = gather(['one', Buffer.from('two')]);
    giveAway();
    gather(['three', Buffer.from('four')]);
    expect(first?.toString()).toBe('onetwo');
  });
});

describe('joinIfTooMany', () => {
  it('leaves as many pieces as one write takes, and joins more', () => {
    const pieces = new Array<string | Uint8Array>(MOST_PIECES).fill('x');
    expect(joinIfTooMany(pieces)).toBe(pieces);
    const joinedPieces = joinIfTooMany([Buffer.from('é'), ...pieces]);
    expect(joinedPieces).toBeInstanceOf(Buffer);
    expect(joinedPieces).toHaveLength(MOST_PIECES + 2);
  });
});
