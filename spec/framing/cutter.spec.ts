import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Cutter } from '../../lib/framing/cutter.ts';

/** Where the frames of these lengths are, if each begins where the one before it ends. */
function placesOf(lengths: readonly number[]): [start: number, end: number][] {
  let end = 0;
  return lengths.map((length) => {
    end += length;
    return [end - length, end];
  });
}

/** Cuts frames of these lengths out of a chunk. */
const cutAll = (cutter: Cutter, chunk: Buffer, lengths: readonly number[]): Buffer[] =>
  placesOf(lengths).map(([start, end]) => cutter.cut(chunk, start, end));

/** The frames whose memory begins where that of the frame before it ends. */
const adjoining = (frames: readonly Buffer[]): number[] =>
  frames.flatMap(({ buffer, byteOffset }, at) => {
    const before = frames[at - 1];
    return before?.buffer === buffer && before.byteOffset + before.length === byteOffset ? [at] : [];
  });

describe('the cutter', () => {
  it('returns the bytes of each frame, in memory that the next chunk does not overwrite', () => {
    const length = fc.oneof(fc.nat(600), fc.integer({ min: 500, max: 9000 }));
    const chunks = fc.array(fc.tuple(fc.array(length, { maxLength: 20 }), fc.nat(100)), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(chunks, (chunks) => {
        const cutter = new Cutter();
        const memory = Buffer.alloc(20 * 9000 + 100);
        const frames: Buffer[] = [];
        const expected: Buffer[] = [];
        for (const [n, [lengths, rest]] of chunks.entries()) {
          const places = placesOf(lengths);
          const chunk = memory.subarray(0, (places.at(-1)?.[1] ?? 0) + rest);
          for (let at = 0; at < chunk.length; at++) chunk[at] = at * 7 + (at >> 8) + n;
          frames.push(...cutAll(cutter, chunk, lengths));
          expected.push(...places.map(([start, end]) => Buffer.from(chunk.subarray(start, end))));
          cutter.forget();
        }
        memory.fill(0);
        expect(frames.length).toBe(expected.length);
        expect(frames.every((frame, at) => expected[at]?.equals(frame))).toBe(true);
      }),
    );
  });

  it('copies a chunk of up to 8 KiB once for all its frames', () => {
    const frames = cutAll(new Cutter(), Buffer.alloc(8192), Array(8).fill(1024));
    expect(adjoining(frames)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('copies 8 KiB of a larger chunk at once, from the first frame that is not in the copy', () => {
    const frames = cutAll(new Cutter(), Buffer.alloc(20_000), Array(12).fill(1500));
    // Five frames fit into each copy, and the sixth has begun in it.
    expect(adjoining(frames)).toEqual([1, 2, 3, 4, 6, 7, 8, 9, 11]);
  });

  it('copies one by one what is smaller than 513 bytes or larger than 8 KiB', () => {
    const cut = (length: number) => new Cutter().cut(Buffer.alloc(20_000), 0, length);
    // The second shares its memory with other copies. That of the third depends on the version of Node.
    expect([64, 600].map((length) => cut(length).buffer.byteLength)).toEqual([64, 65_536]);
    expect(cut(8193).length).toBe(8193);
    const cutter = new Cutter();
    const chunk = Buffer.alloc(2000);
    const [first, small, last] = cutAll(cutter, chunk, [513, 512, 575]);
    expect([small?.buffer === first?.buffer, last?.buffer === first?.buffer]).toEqual([false, true]);
    expect(Number(last?.byteOffset) - Number(first?.byteOffset)).toBe(1025);
  });
});
