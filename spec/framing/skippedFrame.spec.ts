import fc from 'fast-check';
import { from, map, type Observable, type OperatorFunction, of, take } from 'rxjs';
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { DeadlineError, FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { delimited } from '../../lib/framing/delimited.ts';
import { json } from '../../lib/framing/json.ts';
import { encodeLengthPrefixed } from '../../lib/framing/lengthPrefix.ts';
import { lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { type LinesOptions, lines } from '../../lib/framing/lines.ts';
import { SkippedFrame } from '../../lib/framing/skippedFrame.ts';
import { exchange, operateBytes } from '../../lib/index.ts';
import { Borrowed } from '../support/borrowed.ts';
import { chop, chunkings, watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';
import { TestServer } from '../support/testServer.ts';
import { LIMIT, skippingExamples } from './formats.ts';

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

afterEach(() => {
  vi.restoreAllMocks();
});

/** The sizes of the buffers that carry a part of a frame. */
function carried(): number[] {
  const sizes: number[] = [];
  const { allocUnsafeSlow } = Buffer;
  vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) => {
    sizes.push(size);
    return allocUnsafeSlow(size);
  });
  return sizes;
}

describe('with tooLong: skip, for any format and any bytes', () => {
  it('a frame above the limit is a SkippedFrame with its length, in its place, wherever the bytes are split', () => {
    fc.assert(
      fc.property(skippingExamples, chunkings, ({ decode, sent, frames }, cuts) => {
        const seen = watch(from(chop(Buffer.concat(sent), cuts)).pipe(decode));
        expect(seen).toStrictEqual({ values: frames, completed: true });
      }),
      { numRuns: 2000 },
    );
  });

  it('no frame is lost, doubled or reordered by a pause at any of them', () => {
    fc.assert(
      fc.property(
        skippingExamples,
        chunkings,
        fc.infiniteStream(fc.boolean()),
        ({ decode, sent, frames }, cuts, pauses) => {
          const peer = new Borrowed();
          const values: unknown[] = [];
          peer.pipe(decode).subscribe((value) => {
            expect(peer.control.isPaused).toBe(false);
            values.push(value);
            peer.control.isPaused = pauses.next().value === true;
          });
          for (const chunk of chop(Buffer.concat(sent), cuts)) {
            peer.push(chunk);
            if (pauses.next().value === true) peer.open();
          }
          peer.end();
          peer.openAll();
          expect(values).toStrictEqual(frames);
          expect(peer.control.buffered).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a drain completes the input at the end of the frame that had begun, also of a skipped one', () => {
    fc.assert(
      fc.property(skippingExamples, fc.nat(), chunkings, ({ decode, sent, frames }, at, cuts) => {
        const all = Buffer.concat(sent);
        const begin = at % (all.length + 1);
        const peer = new Borrowed();
        const seen = watch(peer.pipe(decode));
        for (const chunk of chop(all.subarray(0, begin), cuts)) peer.push(chunk);
        peer.drain();
        for (const chunk of chop(all.subarray(begin), cuts)) peer.push(chunk);
        let count = 0;
        for (let end = 0; end < begin; count++) end += sent[count]?.length ?? 0;
        expect(seen).toStrictEqual({ values: frames.slice(0, count), completed: true });
        expect(peer.control.closedAs).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('the input is truncated when it ends within a frame, also within a skipped one', () => {
    fc.assert(
      fc.property(
        skippingExamples.filter(({ sent }) => sent.some((frame) => frame.length > 1)),
        chunkings,
        fc.nat(),
        ({ decode, sent, frames }, cuts, pick) => {
          const long = sent.flatMap((frame, i) => (frame.length > 1 ? [i] : []));
          const last = long[pick % long.length] ?? 0;
          const part = sent[last]?.subarray(0, 1 + (pick % ((sent[last]?.length ?? 0) - 1))) ?? latin('');
          const peer = new Borrowed();
          const seen = watch(peer.pipe(decode));
          for (const chunk of chop(Buffer.concat([...sent.slice(0, last), part]), cuts)) peer.push(chunk);
          peer.end();
          expect(seen.values).toStrictEqual(frames.slice(0, last));
          expect(seen.error).toEqual(new FrameTruncatedError(part.length));
          expect(seen.error).toMatchObject({ length: part.length });
        },
      ),
      { numRuns: 500 },
    );
  });

  it('the decoder neither holds nor reports more than the limit, however long a frame is', () => {
    fc.assert(
      fc.property(skippingExamples, chunkings, ({ decode, sent }, cuts) => {
        const sizes = carried();
        const peer = new Borrowed();
        watch(peer.pipe(decode));
        for (const chunk of chop(Buffer.concat(sent), cuts)) {
          peer.push(chunk);
          // A header or a delimiter has at most 10 bytes.
          expect(peer.control.buffered).toBeLessThanOrEqual(LIMIT + 10);
        }
        expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(64);
        vi.restoreAllMocks();
      }),
      { numRuns: 300 },
    );
  });

  it('nothing is decoded any more when downstream has unsubscribed at a skipped frame', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines({ maxLength: 1, tooLong: 'skip' }), take(1)));
    peer.push(latin('aa\nb\n'));
    expect(seen).toStrictEqual({ values: [new SkippedFrame(2, 1)], completed: true });
    expect(peer.released).toBe(true);
  });
});

describe('with tooLong: skip, a frame of 64 MiB', () => {
  const CHUNK = Buffer.alloc(64 * 1024, 'a');
  const LENGTH = 1024 * CHUNK.length + 1;
  const skip = { maxLength: 64 * 1024, tooLong: 'skip' } as const;

  it.each<[string, OperatorFunction<Uint8Array, unknown>, Uint8Array, string]>([
    ['lines', lines(skip), latin(''), 'a\r\n'],
    ['json', json(skip), latin(''), 'a\n'],
    ['delimited by one byte', delimited(';', skip), latin(''), 'a;'],
    ['delimited by more', delimited('abc', skip), latin(''), 'aabc'],
    ['lengthPrefixed', lengthPrefixed(skip), Buffer.from([4, 0, 0, 1]), 'a'],
  ])('is skipped by %s at constant memory', (_, decode, begin, end) => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(decode));
    peer.push(begin);
    peer.push(CHUNK);
    peer.push(CHUNK);
    const sizes = carried();
    for (let count = 2; count < 1024; count++) peer.push(CHUNK);
    expect(peer.control.buffered).toBeLessThanOrEqual(4);
    expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(64);
    expect(seen.values).toEqual([]);
    peer.push(latin(end));
    expect(seen.values).toStrictEqual([new SkippedFrame(LENGTH, skip.maxLength)]);
    expect(peer.control.buffered).toBe(0);
  });
});

describe('lines with tooLong: skip', () => {
  const read = (chunks: readonly string[], options: LinesOptions = {}) =>
    watch(from(chunks.map(latin)).pipe(lines({ maxLength: 3, tooLong: 'skip', ...options })));
  const skipped = (length: number) => new SkippedFrame(length, 3);

  it(
    'emits a skipped line when it has ended, because its length is known then',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  --a----b-----c---|', { a: 'a\nabcd', b: 'efgh', c: 'i\nb\n' });
      const expected = '    --x----------(yz)|';
      expectObservable(source.pipe(map(latin), lines({ maxLength: 3, tooLong: 'skip' }))).toBe(expected, {
        x: 'a',
        y: new SkippedFrame(9, 3),
        z: 'b',
      });
    }),
  );

  it.each<[string, string[], (string | SkippedFrame)[]]>([
    ['does not count a \\r before the \\n', ['abcd\r\n'], [skipped(4)]],
    ['does not count it where the chunk ends with it', ['abcd\r', '\nb\n'], [skipped(4), 'b']],
    [
      'does not count it in a chunk of its own, also with an empty one behind it',
      ['abcd', '\r', '', '\n'],
      [skipped(4)],
    ],
    ['counts a \\r that no \\n follows', ['abcd\r', 'e\n'], [skipped(6)]],
    ['counts all but one', ['abc\r', '\r', '\r', '\n'], [skipped(5)]],
    ['skips a line only if it is too long without its \\r', ['abc\r', '\nabc\r\r\n'], ['abc', skipped(4)]],
    ['counts bytes, not characters', ['\u00c3\u00a9\u00c3\u00a9\n'], [skipped(4)]],
    ['skips several lines of one chunk', ['abcd\nabcde\na\nabcdef\n'], [skipped(4), skipped(5), 'a', skipped(6)]],
  ])('%s', (_, chunks, values) => {
    expect(read(chunks)).toStrictEqual({ values, completed: true });
  });

  it('decodes any bytes, in any chunks, within any limit, whether or not the last line may be unterminated', () => {
    const piece = fc.oneof(fc.constantFrom('\n', '\r', '\r\n', 'a', 'bc').map(latin), fc.uint8Array({ maxLength: 5 }));
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 60 }).map((pieces) => Buffer.concat(pieces)),
        chunkings,
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        (bytes, cuts, maxLength, emits) => {
          const rows = bytes.toString('latin1').split('\n');
          const last = rows.pop() ?? '';
          if (emits && last !== '') rows.push(last);
          const values = rows.map((row) => {
            const bare = latin(row.endsWith('\r') ? row.slice(0, -1) : row);
            return bare.length > maxLength ? new SkippedFrame(bare.length, maxLength) : bare.toString();
          });
          const unterminated = emits ? 'emit' : 'error';
          const seen = watch(from(chop(bytes, cuts)).pipe(lines({ maxLength, tooLong: 'skip', unterminated })));
          expect(seen.values).toStrictEqual(values);
          const isTruncated = !emits && last !== '';
          expect(seen.error).toEqual(isTruncated ? new FrameTruncatedError(last.length) : undefined);
          expect(seen.completed).toBe(!isTruncated);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('errors when the input ends within a skipped line, or emits it if `unterminated` is `emit`', () => {
    expect(read(['a\nabcd', 'ef']).error).toMatchObject({ name: 'FrameTruncatedError', length: 6 });
    expect(read(['a\nabcd', 'ef\r'], { unterminated: 'emit' }).values).toStrictEqual(['a', skipped(6)]);
  });
});

describe('json with tooLong: skip', () => {
  it('skips a line that is too long, whatever it contains, and decodes the others', () => {
    const source = from(['1\n{{{{{{', '{{\n[2]\n', `${' '.repeat(7)}\n \n3`].map(latin));
    const seen = watch(source.pipe(json({ maxLength: 5, tooLong: 'skip', unterminated: 'emit' })));
    const values = [1, new SkippedFrame(8, 5), [2], new SkippedFrame(7, 5), 3];
    expect(seen).toStrictEqual({ values, completed: true });
  });

  it('emits a skipped last line if `unterminated` is `emit`, and still errors at a short one that is not JSON', () => {
    const read = (text: string) =>
      watch(of(latin(text)).pipe(json({ maxLength: 5, tooLong: 'skip', unterminated: 'emit' })));
    expect(read('1\n{{{{{{').values).toStrictEqual([1, new SkippedFrame(6, 5)]);
    expect(read('1\n{').error).toBeInstanceOf(FrameInvalidError);
  });
});

describe('delimited with tooLong: skip', () => {
  const few = (most: number) => fc.array(fc.constantFrom(0, 1), { maxLength: most }).map((bytes) => Buffer.from(bytes));

  it('finds any delimiter in any bytes, in any chunks, within any limit', () => {
    fc.assert(
      fc.property(
        few(120),
        few(6).filter((mark) => mark.length > 0),
        chunkings,
        fc.integer({ min: 1, max: 20 }),
        (bytes, mark, cuts, maxLength) => {
          const values: (Buffer | SkippedFrame)[] = [];
          let rest = bytes;
          for (let end = rest.indexOf(mark); end >= 0; end = rest.indexOf(mark)) {
            values.push(end > maxLength ? new SkippedFrame(end, maxLength) : Buffer.from(rest.subarray(0, end)));
            rest = rest.subarray(end + mark.length);
          }
          const seen = watch(from(chop(bytes, cuts)).pipe(delimited(mark, { maxLength, tooLong: 'skip' })));
          expect(seen.values).toStrictEqual(values);
          expect(seen.error).toEqual(rest.length > 0 ? new FrameTruncatedError(rest.length) : undefined);
          expect(seen.completed).toBe(rest.length === 0);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['that is split between chunks', ['abcdefg-', '+-', '-x-+-'], 7],
    ['that is split between three chunks', ['abcdefg-', '+', '-x-+-'], 7],
    ['whose beginning repeats before it', ['abcdef-', '+', '+', '-+', '-x-+-'], 9],
    ['that begins in front of the chunk that shows that the frame is too long', ['abc-', '+g-', '+-x-+-'], 6],
  ])('ends a skipped frame at a delimiter %s', (_, chunks, length) => {
    const seen = watch(from(chunks.map(latin)).pipe(delimited('-+-', { maxLength: 3, tooLong: 'skip' }), map(flat)));
    expect(seen.values[0]).toStrictEqual(new SkippedFrame(length, 3));
    expect(seen.values.at(-1)).toMatch(/x$/);
  });

  const flat = (frame: Buffer | SkippedFrame) => (frame instanceof SkippedFrame ? frame : String(frame));
});

describe('lengthPrefixed with tooLong: skip', () => {
  const read = (bytes: readonly number[], options: Parameters<typeof lengthPrefixed>[0] = {}) =>
    watch(from(chop(Buffer.from(bytes), [3])).pipe(lengthPrefixed({ tooLong: 'skip', ...options })));

  it('measures the frame without its header, as the limit is measured', () => {
    const seen = read([0, 7, 1, 2, 3, 4, 5, 0, 3, 97], { size: 2, includesHeader: true, maxLength: 4 });
    expect(seen).toStrictEqual({ values: [new SkippedFrame(5, 4), latin('a')], completed: true });
  });

  it('ends a skipped frame where its last byte is the last byte of a chunk', () => {
    const seen = watch(from([[9], [1, 2, 3, 4, 5], [6, 7, 8, 9], [1, 97]].map(Buffer.from)).pipe(byteLimit));
    expect(seen).toStrictEqual({ values: [new SkippedFrame(9, 4), latin('a')], completed: true });
  });

  it('errors as without the option at a header that announces more than 2 ** 53 bytes, which never end', () => {
    const ff = Array.from({ length: 8 }, () => 0xff);
    expect(read(ff, { size: 8 }).error).toMatchObject({ name: 'FrameTooLongError', length: 2n ** 64n - 1n });
    expect(read([0, 0x20, 0, 0, 0, 0, 0, 0], { size: 8 }).error).toMatchObject({ name: 'FrameTooLongError' });
    expect(read([...ff, 0x7f], { size: 'varint' }).error).toBeInstanceOf(FrameTooLongError);
  });

  it('skips a frame of the longest length that is exact', () => {
    const seen = read([0, 0x1f, 255, 255, 255, 255, 255, 255, 1], { size: 8 });
    expect(seen.error).toMatchObject({ name: 'FrameTruncatedError', length: 9 });
  });

  it('errors at an invalid header as without the option', () => {
    expect(read([0, 1], { size: 2, includesHeader: true }).error).toBeInstanceOf(FrameInvalidError);
  });

  const byteLimit = lengthPrefixed({ size: 1, maxLength: 4, tooLong: 'skip' });
});

describe('a skipped frame', () => {
  const late = new DeadlineError('frame', 5);
  const skip = { maxLength: 2, tooLong: 'skip', timeout: 5 } as const;

  it.each<[string, OperatorFunction<Uint8Array, unknown>, Uint8Array]>([
    ['lines', lines(skip), latin('abc')],
    ['json', json(skip), latin('abc')],
    ['delimited', delimited(';', skip), latin('abc')],
    ['delimited by more', delimited('-+', skip), latin('abc')],
    ['lengthPrefixed', lengthPrefixed({ ...skip, size: 1 }), Buffer.from([200, 1, 2])],
  ])('has the frame deadline, which its further bytes do not push back: %s', (_, decode, begin) => {
    marbles(({ hot, expectObservable }) => {
      const source = hot('  --a--b--c--d--|', { a: begin, b: latin('b'), c: latin('c'), d: latin('d') });
      expectObservable(source.pipe(decode)).toBe('-------#', {}, late);
    })();
  });

  it(
    'has no deadline any more when it has ended',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  --a--b-----------|', { a: latin('abc'), b: latin('d\n') });
      expectObservable(source.pipe(lines(skip))).toBe('-----x-----------|', { x: new SkippedFrame(4, 2) });
    }),
  );

  it('closes a connection of a server by the frame deadline if it never ends, and by the pace if it is slow', async () => {
    const server = await TestServer.open(exchange(lines({ maxLength: 2, tooLong: 'skip' }), String), {
      frame: 1000,
      idle: 1e9,
      pace: { in: 100, out: 0, grace: 100 },
    });
    const [fast, slow] = await server.connectAll(2);
    slow?.write('abc');
    for (let at = 0; at < 999; at += 9) {
      fast?.write('x'.repeat(100));
      await server.clock.advance(9);
    }
    expect([fast?.ended, slow?.ended]).toEqual([false, true]);
    await server.clock.advance(1);
    slow?.end();
    fast?.end();
    await server.clock.settle();
    expect(server.log.of('closed').map(({ reason, deadline }) => [reason, deadline])).toEqual([
      ['deadline', 'pace'],
      ['deadline', 'frame'],
    ]);
  });

  const answer = (line: string | SkippedFrame): string =>
    line instanceof SkippedFrame ? `${line.length} bytes, at most ${line.limit};` : `${line};`;
  const short = lines({ maxLength: 5, tooLong: 'skip' });
  const passing = operateBytes((sink) => ({ next: (chunk) => sink.next(chunk) }));

  it.each<[string, ConstructorParameters<typeof TestServer>[0]]>([
    ['a pipe', (connection) => connection.pipe(short, map(answer))],
    ['an exchange', exchange(short, answer)],
    ['an exchange of promises', exchange(short, async (line) => answer(line), { concurrency: 4 })],
    ['an operator on bytes', (connection) => connection.pipe(passing, short, map(answer))],
    ['a plain operator', (connection) => connection.pipe(map(Buffer.from), short, map(answer))],
    [
      'a loop',
      async (connection) => {
        for await (const line of connection.pipe(short)) await connection.write(answer(line));
      },
    ],
  ])('can be answered in its place, and its connection goes on: %s', async (_, handler) => {
    const server = await TestServer.open(handler);
    const client = await server.connect();
    client.write('one\ntwo is too lo');
    await server.clock.settle();
    client.write('ng\nthree\n');
    await server.clock.settle();
    expect(client.text).toBe('one;15 bytes, at most 5;three;');
    client.write('four is not ');
    await server.clock.settle();
    await server.signal();
    expect(client.ended).toBe(false);
    client.write('short\nfive\n');
    await server.clock.settle();
    expect(client.text).toBe('one;15 bytes, at most 5;three;17 bytes, at most 5;');
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['drained']);
  });

  it('is in the type of what is emitted, only where the options allow that it is', () => {
    const any: LinesOptions = {};
    expectTypeOf(lines()).toEqualTypeOf<OperatorFunction<Uint8Array, string>>();
    expectTypeOf(lines({ maxLength: 5, tooLong: 'fail' })).toEqualTypeOf<OperatorFunction<Uint8Array, string>>();
    expectTypeOf(lines({ tooLong: undefined })).toEqualTypeOf<OperatorFunction<Uint8Array, string>>();
    type Line = OperatorFunction<Uint8Array, string | SkippedFrame>;
    expectTypeOf(lines({ maxLength: 5, tooLong: 'skip' })).toEqualTypeOf<Line>();
    expectTypeOf(lines(any)).toEqualTypeOf<Line>();
    expectTypeOf(json<number>()).toEqualTypeOf<OperatorFunction<Uint8Array, number>>();
    expectTypeOf(json()).toEqualTypeOf<OperatorFunction<Uint8Array, unknown>>();
    type Value = OperatorFunction<Uint8Array, number | SkippedFrame>;
    expectTypeOf(json<number>({ tooLong: 'skip' })).toEqualTypeOf<Value>();
    type Bytes = OperatorFunction<Uint8Array, Buffer | SkippedFrame>;
    expectTypeOf(delimited(';', { maxLength: 5 })).toEqualTypeOf<OperatorFunction<Uint8Array, Buffer>>();
    expectTypeOf(delimited(';', { tooLong: 'skip' })).toEqualTypeOf<Bytes>();
    expectTypeOf(lengthPrefixed({ size: 2 })).toEqualTypeOf<OperatorFunction<Uint8Array, Buffer>>();
    expectTypeOf(lengthPrefixed({ tooLong: 'skip' })).toEqualTypeOf<Bytes>();
    const typed = of(latin('abc\n')).pipe(lines({ tooLong: 'skip' }));
    expectTypeOf(typed).toEqualTypeOf<Observable<string | SkippedFrame>>();
  });

  it('needs an option with one of its two values', () => {
    const wrong = { tooLong: 'cut' as 'skip' };
    for (const make of [
      () => lines(wrong),
      () => json(wrong),
      () => delimited(';', wrong),
      () => lengthPrefixed(wrong),
    ]) {
      expect(make).toThrow("tooLong must be one of 'fail', 'skip', not 'cut'");
    }
  });

  it('is not emitted with tooLong: fail, which is the default', () => {
    for (const tooLong of ['fail', undefined] as const) {
      const error = expect.objectContaining({ name: 'FrameTooLongError', limit: 2 });
      const options = { maxLength: 2, tooLong };
      expect(watch(of(latin('abc\n')).pipe(lines(options)))).toMatchObject({ values: [], error });
      expect(watch(of(latin('abc;')).pipe(delimited(';', options)))).toMatchObject({ values: [], error });
      expect(watch(of(encodeLengthPrefixed()('abc')).pipe(lengthPrefixed(options)))).toMatchObject({ error });
    }
  });
});
