import fc from 'fast-check';
import { from, map, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { encodeLine, type LinesOptions, lines } from '../../lib/framing/lines.ts';
import { chop, chunkings, watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';

const read = (chunks: readonly (string | Uint8Array)[], options?: LinesOptions) =>
  watch(from(chunks.map((chunk) => Buffer.from(chunk as Uint8Array))).pipe(lines(options)));

/** The expected result: a second implementation, as simple as possible. */
function expectedLines(bytes: Uint8Array, maxLength: number, unterminated: 'error' | 'emit') {
  const rows: Uint8Array[] = [];
  let rest = bytes;
  for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
    rows.push(rest.subarray(0, end));
    rest = rest.subarray(end + 1);
  }
  const bare = (row: Uint8Array) => (row.at(-1) === 13 ? row.subarray(0, -1) : row);
  const text = (row: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bare(row));
  const bad = [...rows, rest].findIndex((row) => bare(row).length > maxLength);
  if (bad >= 0) {
    return {
      values: rows.slice(0, bad).map(text),
      error: new FrameTooLongError(maxLength, maxLength + 1),
      completed: false,
    };
  }
  if (rest.length === 0) return { values: rows.map(text), completed: true };
  if (unterminated === 'emit') return { values: [...rows, rest].map(text), completed: true };
  return { values: rows.map(text), error: new FrameTruncatedError(rest.length), completed: false };
}

const soup = fc
  .array(
    fc.oneof(
      fc.constantFrom('\n', '\r', '\r\n', 'a', 'é', '€', '😀', '\ufeff').map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 5 }),
      fc.nat(40).map((n) => Buffer.alloc(n, 'x')),
    ),
    { maxLength: 60 },
  )
  .map((pieces) => Buffer.concat(pieces));

describe('lines', () => {
  it(
    'ends a line at its end, not at the end of a chunk',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  --a----b-------c---|', { a: 'he', b: 'llo\r\nwor', c: 'ld\n' });
      const expected = '    -------x-------y---|';
      expectObservable(
        source.pipe(
          map((text) => Buffer.from(text)),
          lines(),
        ),
      ).toBe(expected, { x: 'hello', y: 'world' });
    }),
  );

  it('decodes any bytes, valid UTF-8 or not, in any chunks, within any limit', () => {
    fc.assert(
      fc.property(
        soup,
        chunkings,
        fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant(65536)),
        fc.constantFrom('error' as const, 'emit' as const),
        (bytes, cuts, maxLength, unterminated) => {
          const seen = watch(from(chop(bytes, cuts)).pipe(lines({ maxLength, unterminated })));
          expect(seen).toEqual(expectedLines(bytes, maxLength, unterminated));
          expect(seen.error).toEqual(expectedLines(bytes, maxLength, unterminated).error);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('decodes lines that are longer than the window that is decoded at once', () => {
    const long = ['é'.repeat(5000), 'a'.repeat(4094), '', 'b'.repeat(4095), 'c'.repeat(4096), 'd', '€'.repeat(9000)];
    expect(read([long.map(encodeLine).join('')])).toEqual({ values: long, completed: true });
  });

  it.each([
    ['keeps a lone \\r', ['a\rb\n'], ['a\rb']],
    ['removes one \\r only', ['a\r\r\n'], ['a\r']],
    ['removes a \\r that arrived in an earlier chunk', ['a\r', '\n'], ['a']],
    ['keeps blank lines', ['\n\r\n\n'], ['', '', '']],
    ['keeps a byte order mark', ['\ufeffa\n'], ['\ufeffa']],
  ])('%s', (_, chunks, values) => {
    expect(read(chunks)).toEqual({ values, completed: true });
  });

  it('decodes a character that is split between chunks', () => {
    const [a, b] = [Buffer.from('😀\n').subarray(0, 2), Buffer.from('😀\n').subarray(2)];
    expect(read([a, b]).values).toEqual(['😀']);
  });

  it.each([
    ['of the limit is accepted', ['abc\n'], ['abc']],
    ['of the limit and \\r\\n is accepted', ['abc\r\n'], ['abc']],
    ['of the limit and \\r, then \\n is accepted', ['abc\r', '\n'], ['abc']],
    ['of the limit in bytes, not characters', ['é'], [], 'FrameTruncatedError'],
    ['of the limit and \\r, then another byte is too long', ['x\nabc\r', 'd'], ['x'], 'FrameTooLongError'],
    ['of the limit and two \\r is too long', ['abc\r\r'], [], 'FrameTooLongError'],
    ['over the limit errors before it ends', ['x\nabcd'], ['x'], 'FrameTooLongError'],
    ['over the limit errors even if its end arrives with it', ['x\nabcd\ny\n'], ['x'], 'FrameTooLongError'],
    ['over the limit in bytes, though not in characters, errors', ['éé\n'], [], 'FrameTooLongError'],
  ])('a line %s', (_, chunks, values, error?: string) => {
    const seen = read(chunks, { maxLength: 3 });
    expect(seen.values).toEqual(values);
    expect(seen.error).toEqual(error === undefined ? undefined : expect.objectContaining({ name: error }));
    if (error === 'FrameTooLongError') expect(seen.error).toMatchObject({ limit: 3, length: 4 });
  });

  it('errors at the first byte above the limit', () => {
    const seen: number[] = [];
    let fed = 0;
    from('a'.repeat(100))
      .pipe(
        map((letter) => {
          fed++;
          return Buffer.from(letter);
        }),
        lines({ maxLength: 10 }),
      )
      .subscribe({ error: () => seen.push(fed) });
    expect(seen).toEqual([11]);
  });

  it('decodes a line of 64 KiB byte by byte', () => {
    const text = 'a'.repeat(64 * 1024);
    expect(watch(from(chop(Buffer.from(`${text}\n`), [1])).pipe(lines())).values).toEqual([text]);
  });

  it('emits a last line without an end only if `unterminated` is `emit`', () => {
    expect(read(['a\nb'])).toMatchObject({ values: ['a'], error: new FrameTruncatedError(1), completed: false });
    expect(read(['a\nb\r'], { unterminated: 'emit' })).toEqual({ values: ['a', 'b'], completed: true });
    expect(read(['a\n'], { unterminated: 'emit' })).toEqual({ values: ['a'], completed: true });
  });

  it('throws for invalid options', () => {
    expect(() => lines({ maxlength: 1 } as LinesOptions)).toThrow(
      new TypeError(
        "Cannot frame input: options: there is no option 'maxlength'; the options are maxLength, tooLong, timeout, scheduler, unterminated",
      ),
    );
    for (const maxLength of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => lines({ maxLength })).toThrow(RangeError);
    }
    for (const timeout of [0, -1, Number.NaN]) expect(() => lines({ timeout })).toThrow(RangeError);
    expect(() => lines({ unterminated: 'maybe' as 'emit' })).toThrow(TypeError);
  });
});

describe('encodeLine', () => {
  it('appends \\n to each text', () => {
    expect(watch(of('a', '').pipe(map(encodeLine))).values).toEqual(['a\n', '\n']);
  });

  it.each(['a\nb', '\n', 'a\r'])('throws for %j, which would be decoded as something else', (text) => {
    expect(() => encodeLine(text)).toThrow(FrameInvalidError);
  });

  it('throws for a value that is not a string', () => {
    expect(() => encodeLine(5 as never)).toThrow('Cannot frame: a line must be a string, not 5');
  });
});
