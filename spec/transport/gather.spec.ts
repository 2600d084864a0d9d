import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gather, giveAway } from '../../lib/transport/gather.ts';

const anyPieces = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 300 })), {
  maxLength: 20,
});
const joined = (pieces: readonly (string | Uint8Array)[]) =>
  Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));

describe('gather', () => {
  it('makes one of small pieces, whatever they are', () => {
    fc.assert(
      fc.property(anyPieces, (pieces) => {
        expect(gather(pieces)).toEqual(joined(pieces));
      }),
    );
  });

  it('leaves pieces alone that are too large, whether they are bytes or text of which nobody knows the bytes', () => {
    expect(gather([Buffer.alloc(16 * 1024)])).toHaveLength(16 * 1024);
    expect(gather([Buffer.alloc(16 * 1024), 'x'])).toBeUndefined();
    expect(gather(['x'.repeat(6000)])).toBeUndefined();
  });

  it('never writes again to what was given away', () => {
    const first = gather(['one', Buffer.from('two')]);
    giveAway();
    gather(['three', Buffer.from('four')]);
    expect(first?.toString()).toBe('onetwo');
  });
});
