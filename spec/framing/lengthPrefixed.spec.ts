import fc from 'fast-check';
import { concat, from, map, NEVER, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { encodeLengthPrefixed, type LengthPrefix } from '../../lib/framing/lengthPrefix.ts';
import { type LengthPrefixedOptions, lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { chop, watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';

/** Decodes these bytes at once and byte by byte; the results must be equal. */
function read(bytes: readonly number[] | Buffer, options?: LengthPrefixedOptions) {
  const all = Buffer.from(bytes as readonly number[]);
  const seen = watch(of(all).pipe(lengthPrefixed(options)));
  const byByte = watch(from(chop(all, [1])).pipe(lengthPrefixed(options)));
  expect(byByte).toEqual(seen);
  expect(byByte.error).toEqual(seen.error);
  return { ...seen, values: seen.values.map(String) };
}

const ff = (count: number): number[] => Array.from({ length: count }, () => 0xff);

describe('lengthPrefixed', () => {
  it(
    'ends a frame after the length in front of it',
    marbles(({ hot, expectObservable }) => {
      const a = Buffer.from([0, 3, 97, 98]);
      const b = Buffer.from([99, 0, 1, 100]);
      const source = hot('  --a----b----|', { a, b });
      const expected = '    -------(xy)-|';
      expectObservable(source.pipe(lengthPrefixed({ size: 2 }), map(String))).toBe(expected, { x: 'abc', y: 'd' });
    }),
  );

  it.each<[LengthPrefixedOptions, number[]]>([
    [{}, [0, 0, 0, 2]],
    [{ size: 1 }, [2]],
    [{ size: 2 }, [0, 2]],
    [{ size: 2, endian: 'little' }, [2, 0]],
    [{ size: 4, endian: 'little' }, [2, 0, 0, 0]],
    [{ size: 8 }, [0, 0, 0, 0, 0, 0, 0, 2]],
    [{ size: 8, endian: 'little' }, [2, 0, 0, 0, 0, 0, 0, 0]],
    [{ size: 'varint' }, [2]],
    [{ size: 2, includesHeader: true }, [0, 4]],
    [{ size: 'varint', includesHeader: true }, [3]],
  ])('decodes and encodes the prefix %j as the bytes %j', (options, header) => {
    expect(read([...header, 97, 98, ...header, 99, 100], options)).toEqual({ values: ['ab', 'cd'], completed: true });
    expect([...encodeLengthPrefixed(options as LengthPrefix)('ab')]).toEqual([...header, 97, 98]);
  });

  it('is the inverse of its encoder at every length at which a varint that includes itself becomes longer', () => {
    for (const includesHeader of [true, false]) {
      const options = { size: 'varint' as const, includesHeader };
      for (const length of [0, 1, 125, 126, 127, 128, 129, 16380, 16381, 16382, 16383, 16384, 16385]) {
        const seen = watch(of(encodeLengthPrefixed(options)(Buffer.alloc(length))).pipe(lengthPrefixed(options)));
        expect(seen.completed).toBe(true);
        expect(seen.values.map((frame) => frame.length)).toEqual([length]);
      }
    }
  });

  it('decodes a varint as protobuf encodes it, padded or not', () => {
    expect(read([0xac, 0x02, ...Buffer.alloc(300, 'x')], { size: 'varint' }).values).toEqual(['x'.repeat(300)]);
    expect(read([0x81, 0x80, 0x80, 0x00, 97], { size: 'varint' }).values).toEqual(['a']);
    expect(read([0x81, ...Array.from({ length: 8 }, () => 0x80), 0x00, 97], { size: 'varint' }).values).toEqual(['a']);
  });

  it.each<[string, LengthPrefixedOptions, number[], number | bigint]>([
    ['one more than the limit', { size: 1, maxLength: 9 }, [10], 10],
    ['4 GiB less one', {}, ff(4), 4294967295],
    ['more than a number can represent', { size: 8 }, ff(8), 18446744073709551615n],
    ['the last exact number', { size: 8 }, [0, 0x1f, ...ff(6)], Number.MAX_SAFE_INTEGER],
    ['the first number that is not exact', { size: 8 }, [0, 0x20, 0, 0, 0, 0, 0, 0], 9007199254740992n],
    ['the same, little-endian', { size: 8, endian: 'little' }, [0, 0, 0, 0, 0, 0, 0x20, 0], 9007199254740992n],
    ['the largest varint', { size: 'varint' }, [...ff(9), 1], 18446744073709551615n],
    ['a varint of seven bytes', { size: 'varint' }, [...ff(6), 0x7f], 562949953421311],
    ['a varint of eight bytes', { size: 'varint' }, [...ff(7), 0x7f], 2n ** 56n - 1n],
    ['a length that includes its header, as it was sent', { size: 2, includesHeader: true, maxLength: 9 }, [0, 12], 12],
  ])('errors at the header, with the announced length: %s', (_, options, header, length) => {
    expect(read(header, options).error).toMatchObject({
      name: 'FrameTooLongError',
      limit: options.maxLength ?? 1024 * 1024,
      length,
    });
  });

  it('accepts a body of the limit, however long the header is', () => {
    expect(read([0, 5, 97, 98, 99], { size: 2, includesHeader: true, maxLength: 3 }).values).toEqual(['abc']);
  });

  it('errors at a length that includes its header and is less than it', () => {
    expect(read([0, 1], { size: 2, includesHeader: true }).error).toBeInstanceOf(FrameInvalidError);
    expect(read([0], { size: 'varint', includesHeader: true }).error).toBeInstanceOf(FrameInvalidError);
    expect(read([0, 2], { size: 2, includesHeader: true })).toMatchObject({ values: [''], completed: true });
  });

  it('errors at a varint of more than 64 bits at its tenth byte', () => {
    expect(read(ff(9), { size: 'varint' }).error).toEqual(new FrameTruncatedError(9));
    expect(read([...ff(9), 2], { size: 'varint' }).error).toBeInstanceOf(FrameInvalidError);
    expect(read([...ff(9), 0x80], { size: 'varint' }).error).toBeInstanceOf(FrameInvalidError);
    expect(read([...ff(9), 0x81, 0], { size: 'varint' }).error).toBeInstanceOf(FrameInvalidError);
  });

  it('emits the frames before an invalid header', () => {
    expect(read([1, 97, 200], { size: 1, maxLength: 100 })).toMatchObject({
      values: ['a'],
      error: new FrameTooLongError(100, 200),
    });
  });

  it('errors with the number of bytes that had arrived of a frame when the input ended', () => {
    expect(read([0, 0]).error).toMatchObject({ name: 'FrameTruncatedError', length: 2 });
    expect(read([0, 0, 0, 3]).error).toMatchObject({ name: 'FrameTruncatedError', length: 4 });
    expect(read([0, 0, 0, 3, 97]).error).toMatchObject({ name: 'FrameTruncatedError', length: 5 });
  });

  it('allocates no memory for bytes that are announced and do not arrive', () => {
    const before = process.memoryUsage().arrayBuffers;
    const chunks = [Buffer.from([0, 0x10, 0, 0]), Buffer.from('a')];
    const open = Array.from({ length: 200 }, () => watch(concat(from(chunks), NEVER).pipe(lengthPrefixed())));
    expect(open.every((seen) => seen.error === undefined && !seen.completed)).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  it('decodes 1 MiB byte by byte into one Buffer with memory of its own', () => {
    const frame = Buffer.alloc(1024 * 1024, 'ab');
    const { values } = watch(from(chop(encodeLengthPrefixed()(frame), [1])).pipe(lengthPrefixed()));
    expect(values.length).toBe(1);
    expect(values[0]?.equals(frame)).toBe(true);
    expect(values[0]?.buffer.byteLength).toBe(frame.length);
  });

  it('throws for invalid options', () => {
    expect(() => lengthPrefixed({ size: 3 as 4 })).toThrow(TypeError);
    expect(() => lengthPrefixed({ endian: 'middle' as 'big' })).toThrow(TypeError);
    expect(() => lengthPrefixed({ includesHeader: 1 as unknown as boolean })).toThrow(TypeError);
    expect(() => lengthPrefixed({ bytes: 4 } as LengthPrefixedOptions)).toThrow(TypeError);
    expect(() => encodeLengthPrefixed({ maxLength: 4 } as LengthPrefix)).toThrow(TypeError);
  });
});

describe('encodeLengthPrefixed', () => {
  it('throws for a frame whose length the header cannot encode', () => {
    const limits: [LengthPrefix, number][] = [
      [{ size: 1 }, 255],
      [{ size: 1, includesHeader: true }, 254],
      [{ size: 2 }, 65535],
    ];
    for (const [prefix, limit] of limits) {
      const encode = encodeLengthPrefixed(prefix);
      expect(encode(Buffer.alloc(limit)).length).toBe(limit + Number(prefix.size));
      expect(() => encode(Buffer.alloc(limit + 1))).toThrow(new FrameTooLongError(limit, limit + 1));
    }
  });

  it.each([[5], [{ length: 1 }], [undefined]])('throws for %o, which is neither a string nor bytes', (frame) => {
    const message = 'Cannot prefix a frame: frame must be a string or a Uint8Array, not ';
    expect(() => encodeLengthPrefixed()(frame as never)).toThrow(message);
  });

  it('and the decoder agree on any length, in any format', () => {
    const formats = fc.record({
      size: fc.constantFrom<NonNullable<LengthPrefix['size']>[]>(4, 8, 'varint'),
      endian: fc.constantFrom<('big' | 'little')[]>('big', 'little'),
      includesHeader: fc.boolean(),
    });
    fc.assert(
      fc.property(formats, fc.nat(70_000), (format, length) => {
        const bytes = encodeLengthPrefixed(format)(Buffer.alloc(length, 'z'));
        const seen = watch(of(bytes).pipe(lengthPrefixed(format)));
        expect(seen.completed).toBe(true);
        expect(seen.values[0]?.length).toBe(length);
      }),
    );
  });
});
