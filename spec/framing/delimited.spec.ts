import fc from 'fast-check';
import { from, map, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { type DelimitedOptions, delimited, encodeDelimited } from '../../lib/framing/delimited.ts';
import { chop, chunkings, watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';

const letters = (text: string): Buffer => Buffer.from(text, 'latin1');
const few = (most: number) => fc.array(fc.constantFrom(0, 1), { maxLength: most }).map((bytes) => Buffer.from(bytes));

/** The expected result for any bytes: a slow, obvious implementation that searches from the start each time. */
function expected(bytes: Buffer, mark: Buffer, maxLength: number) {
  const values: Buffer[] = [];
  let rest = bytes;
  for (let end = rest.indexOf(mark); end >= 0 && end <= maxLength; end = rest.indexOf(mark)) {
    values.push(Buffer.from(rest.subarray(0, end)));
    rest = rest.subarray(end + mark.length);
  }
  // The rest is not too long yet if a delimiter that begins within the limit can still follow.
  const open = Array.from({ length: Math.min(maxLength, rest.length) + 1 }, (_, at) => rest.subarray(at));
  if (!open.some((tail) => mark.subarray(0, tail.length).equals(tail))) {
    if (rest.length > maxLength)
      return { values, error: new FrameTooLongError(maxLength, maxLength + 1), completed: false };
  }
  if (rest.length === 0) return { values, completed: true };
  return { values, error: new FrameTruncatedError(rest.length), completed: false };
}

describe('delimited', () => {
  it(
    'ends a frame at each delimiter, wherever the chunks are split',
    marbles(({ hot, expectObservable }) => {
      const source = hot('              --a----b----c-----|', { a: 'ab\r', b: '\ncd', c: '\r\n\r\n' });
      const frames = '                  -------x----(yz)--|';
      expectObservable(source.pipe(map(letters), delimited('\r\n'), map(String))).toBe(frames, {
        x: 'ab',
        y: 'cd',
        z: '',
      });
    }),
  );

  it('finds any delimiter in any bytes, in any chunks, within any limit', () => {
    fc.assert(
      fc.property(
        few(120),
        few(5).filter((mark) => mark.length > 0),
        chunkings,
        fc.integer({ min: 1, max: 20 }),
        (bytes, mark, cuts, maxLength) => {
          const seen = watch(from(chop(bytes, cuts)).pipe(delimited(mark, { maxLength })));
          expect(seen).toEqual(expected(bytes, mark, maxLength));
          expect(seen.error).toEqual(expected(bytes, mark, maxLength).error);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('encodes a string as UTF-8 to get the delimiter', () => {
    expect(watch(of(Buffer.from('a€b€')).pipe(delimited('€'), map(String))).values).toEqual(['a', 'b']);
  });

  it('copies the delimiter, so that a later change of the argument has no effect', () => {
    const mark = Buffer.from(';');
    const operator = delimited(mark);
    mark.fill(',');
    expect(watch(of(letters('a;b;')).pipe(operator, map(String))).values).toEqual(['a', 'b']);
  });

  it('emits Buffers, and tiny ones share their memory with nothing', () => {
    const source = letters('ab;cd;');
    const { values } = watch(of(source).pipe(delimited(';')));
    expect(values.every((frame) => Buffer.isBuffer(frame))).toBe(true);
    expect(values.map((frame) => frame.buffer.byteLength)).toEqual([2, 2]);
  });

  it('errors at the first byte above the limit, with the limit and that length', () => {
    const at = (text: string) => {
      const seen = watch(from(chop(letters(text), [1])).pipe(delimited('\r\n', { maxLength: 3 })));
      return (seen.error as Error).name;
    };
    expect(at('abc')).toBe('FrameTruncatedError');
    expect(at('abc\r')).toBe('FrameTruncatedError');
    expect(at('abc\rd')).toBe('FrameTooLongError');
    expect(at('abcd')).toBe('FrameTooLongError');
    expect(watch(of(letters('abcd')).pipe(delimited('\r\n', { maxLength: 3 }))).error).toMatchObject({
      limit: 3,
      length: 4,
    });
  });

  it('reads 64 KiB byte by byte, when every byte could begin the delimiter', () => {
    const frame = 'a'.repeat(64 * 1024 - 1);
    const seen = watch(from(chop(letters(`${frame}ab`), [1])).pipe(delimited('ab')));
    expect(seen.values.map(String)).toEqual([frame]);
  });

  it('throws for an invalid delimiter and for invalid options', () => {
    expect(() => delimited('')).toThrow(RangeError);
    expect(() => encodeDelimited(new Uint8Array())).toThrow(RangeError);
    expect(() => delimited(undefined as never)).toThrow('Cannot frame: delimiter must be a string or a Uint8Array');
    expect(() => delimited(';', { unterminated: 'emit' } as DelimitedOptions)).toThrow(TypeError);
    expect(() => delimited(';', { maxLength: 0 })).toThrow(RangeError);
  });
});

describe('encodeDelimited', () => {
  it('appends the delimiter to strings and bytes', () => {
    expect(watch(of('a', letters('b')).pipe(map(encodeDelimited('\0')), map(String))).values).toEqual(['a\0', 'b\0']);
  });

  it('throws for a frame in which the delimiter would be found too early', () => {
    expect(() => encodeDelimited(';')('a;b')).toThrow(FrameInvalidError);
    expect(() => encodeDelimited('aa')('ba')).toThrow(FrameInvalidError);
  });

  it('throws for a frame that is neither a string nor bytes', () => {
    expect(() => encodeDelimited(';')(5 as never)).toThrow('frame must be a string or a Uint8Array, not 5');
  });
});
