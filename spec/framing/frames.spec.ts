import fc from 'fast-check';
import {
  concat,
  finalize,
  from,
  map,
  mergeWith,
  NEVER,
  type Observable,
  of,
  pipe,
  repeat,
  Subject,
  take,
  tap,
  throwError,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { LiftedBytes } from '../../lib/connection/bytes.ts';
import { FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { BLANK, type Decoder, type Input, PENDING } from '../../lib/framing/decoder.ts';
import { delimited } from '../../lib/framing/delimited.ts';
import { frames } from '../../lib/framing/frames.ts';
import { lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { lines } from '../../lib/framing/lines.ts';
import { Borrowed } from '../support/borrowed.ts';
import { chop, chunkings, watch } from '../support/bytes.ts';
import { TestServer } from '../support/testServer.ts';
import { examples } from './formats.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('frames, for any format and any bytes', () => {
  it('are those that were encoded, wherever the bytes are split', () => {
    fc.assert(
      fc.property(examples, chunkings, ({ decode, sent, frames }, cuts) => {
        const seen = watch(from(chop(Buffer.concat(sent), cuts)).pipe(decode));
        expect(seen).toEqual({ values: frames, completed: true });
      }),
      { numRuns: 500 },
    );
  });

  it('need a function that makes a decoder, not a decoder', () => {
    expect(() => frames({} as never)).toThrow('Cannot frame input: decoder must be a function, not {}');
  });

  it('share no memory with the input: the next read changes none of them', () => {
    fc.assert(
      fc.property(examples, chunkings, ({ decode, sent, frames }, cuts) => {
        const peer = new Borrowed();
        const seen = watch(peer.pipe(decode));
        for (const chunk of chop(Buffer.concat(sent), cuts)) peer.push(chunk);
        peer.end();
        expect(seen).toEqual({ values: frames, completed: true });
      }),
      { numRuns: 500 },
    );
  });

  it('are neither lost nor doubled nor reordered by a pause at any of them', () => {
    fc.assert(
      fc.property(examples, chunkings, fc.infiniteStream(fc.boolean()), ({ decode, sent, frames }, cuts, closings) => {
        const peer = new Borrowed();
        const values: unknown[] = [];
        let completed = false;
        peer.pipe(decode).subscribe({
          next: (value) => {
            expect(peer.control.isPaused).toBe(false);
            values.push(value);
            peer.control.isPaused = closings.next().value === true;
          },
          complete: () => {
            completed = true;
          },
        });
        for (const chunk of chop(Buffer.concat(sent), cuts)) {
          peer.push(chunk);
          if (closings.next().value === true) peer.open();
        }
        peer.end();
        peer.openAll();
        expect({ values, completed }).toEqual({ values: frames, completed: true });
      }),
      { numRuns: 500 },
    );
  });

  it('count as buffered what is in memory: never more than the received bytes and their text, and nothing between two frames', () => {
    fc.assert(
      fc.property(examples, chunkings, fc.infiniteStream(fc.boolean()), ({ decode, sent }, cuts, closings) => {
        const peer = new Borrowed();
        const { control } = peer;
        let received = 0;
        peer.pipe(decode).subscribe(() => {
          control.isPaused = closings.next().value === true;
        });
        for (const chunk of chop(Buffer.concat(sent), cuts)) {
          received += chunk.length;
          peer.push(chunk);
          expect(control.buffered).toBeLessThanOrEqual(2 * received);
          if (closings.next().value === true) peer.open();
        }
        peer.openAll();
        expect(control.buffered).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('count as buffered the chunk and the decoded text that wait in a pause, until all of it is emitted', () => {
    const peer = new Borrowed();
    peer.pipe(lines()).subscribe(() => {
      peer.control.isPaused = true;
    });
    peer.push(bytes(`a\n${'b\n'.repeat(2998)}c\n`));
    // A window of 4096 bytes has been decoded, and the rest of the chunk was copied.
    expect(peer.control.buffered).toBe(4096 + 1904);
    for (let line = 1; line < 3000; line++) {
      expect(peer.control.buffered).toBeGreaterThan(0);
      expect(peer.control.holders).toBe(1);
      peer.open();
    }
    peer.open();
    expect([peer.control.buffered, peer.control.holders]).toEqual([0, 0]);
  });

  it('end at the first frame boundary after the drain begins, wherever that is', () => {
    fc.assert(
      fc.property(examples, fc.nat(), chunkings, ({ decode, sent, frames }, at, cuts) => {
        const all = Buffer.concat(sent);
        const begin = all.length === 0 ? 0 : at % (all.length + 1);
        const peer = new Borrowed();
        const seen = watch(peer.pipe(decode));
        for (const chunk of chop(all.subarray(0, begin), cuts)) peer.push(chunk);
        peer.drain();
        for (const chunk of chop(all.subarray(begin), cuts)) peer.push(chunk);
        let count = 0;
        for (let end = 0; end < begin; count++) end += sent[count]?.length ?? 0;
        expect(seen).toEqual({ values: frames.slice(0, count), completed: true });
        expect(peer.released).toBe(true);
        expect(peer.control.closedAs).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('are not decoded any more when downstream has unsubscribed', () => {
    fc.assert(
      fc.property(examples, chunkings, fc.nat(10), ({ decode, sent, frames }, cuts, enough) => {
        const peer = new Borrowed();
        const seen = watch(peer.pipe(decode, take(enough)));
        for (const chunk of chop(Buffer.concat(sent), cuts)) peer.push(chunk);
        expect(seen.values).toEqual(frames.slice(0, enough));
        expect(peer.released || enough === 0).toBe(enough <= frames.length);
      }),
      { numRuns: 300 },
    );
  });

  it('end with FrameTruncatedError, after the frames before, when the input ends in the middle of one', () => {
    fc.assert(
      fc.property(
        examples.filter(({ sent }) => sent.some((frame) => frame.length > 1)),
        chunkings,
        fc.nat(),
        ({ decode, sent, frames }, cuts, pick) => {
          const long = sent.flatMap((frame, i) => (frame.length > 1 ? [i] : []));
          const last = long[pick % long.length] ?? 0;
          const part = sent[last]?.subarray(0, 1 + (pick % ((sent[last]?.length ?? 0) - 1))) ?? bytes('');
          const peer = new Borrowed();
          const seen = watch(peer.pipe(decode));
          for (const chunk of chop(Buffer.concat([...sent.slice(0, last), part]), cuts)) peer.push(chunk);
          peer.end();
          expect(seen.values).toEqual(frames.slice(0, last));
          expect(seen.error).toEqual(new FrameTruncatedError(part.length));
          expect(seen.error).toMatchObject({ length: part.length });
          expect(peer.control.closedAs).toEqual([seen.error]);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('frames, between source and subscriber', () => {
  it('never: emits nothing, and stays subscribed to its source until it is unsubscribed', () => {
    const peer = new Borrowed();
    const subscription = peer.pipe(lines()).subscribe();
    expect(peer.released).toBe(false);
    subscription.unsubscribe();
    expect(peer.released).toBe(true);
  });

  it('unsubscribes from the connection behind other operators, also if a teardown of those throws', () => {
    const peer = new Borrowed();
    const failing = peer.pipe(
      finalize(() => {
        throw new Error('teardown');
      }),
    );
    const subscriptions = [
      peer
        .pipe(
          tap(() => {}),
          lines(),
        )
        .subscribe(),
      failing.pipe(lines()).subscribe(),
    ];
    expect(peer.control.followers.size).toBe(2);
    subscriptions[0]?.unsubscribe();
    expect([peer.released, peer.control.followers.size]).toEqual([true, 1]);
    expect(() => subscriptions[1]?.unsubscribe()).toThrow('teardown');
    expect(peer.control.followers.size).toBe(0);
  });

  it('completes where its connection was ended by its owner: the frame that had begun is not truncated', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.push(bytes('a\nb'));
    peer.control.over = true;
    peer.end();
    expect(seen).toEqual({ values: ['a'], completed: true });
  });

  it('empty: completes', () => {
    expect(watch(of().pipe(lines()))).toEqual({ values: [], completed: true });
    expect(watch(of(bytes(''), bytes('')).pipe(lines()))).toEqual({ values: [], completed: true });
  });

  it('error: passes at once, drops the unfinished frame, and sets no close reason', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.push(bytes('a\nb'));
    peer.fail('reset');
    expect(seen).toEqual({ values: ['a'], error: 'reset', completed: false });
    expect(peer.control.closedAs).toEqual([]);
    expect(
      watch(
        concat(
          of(bytes('a\nb')),
          throwError(() => 'no'),
        ).pipe(lines()),
      ),
    ).toMatchObject({ error: 'no' });
  });

  it('error: does not wait for the end of a pause', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.control.isPaused = true;
    peer.fail('reset');
    expect(seen.error).toBe('reset');
  });

  it('endless and synchronous: stops when downstream has enough', () => {
    expect(watch(of(bytes('a\nb\n')).pipe(repeat(), lines(), take(3))).values).toEqual(['a', 'b', 'a']);
  });

  it('endless and synchronous: stops at an error', () => {
    const endless: Observable<Uint8Array> = of(bytes('aaaa')).pipe(repeat());
    expect(watch(endless.pipe(lines({ maxLength: 10 }))).error).toEqual(new FrameTooLongError(10, 11));
  });

  it('each subscription has a decoder of its own', () => {
    const source = concat(of(bytes('a\nb')), NEVER).pipe(lines());
    expect(watch(source).values).toEqual(['a']);
    expect(watch(source).values).toEqual(['a']);
  });

  it('decodes any Uint8Array, also one that is a view of a larger buffer', () => {
    const part = new Uint8Array([120, 97, 10, 120]).subarray(1, 3);
    expect(watch(of(part).pipe(lines())).values).toEqual(['a']);
  });

  it('reads in place behind an operator that passes bytes on in place', () => {
    const peer = new Borrowed();
    const seen = watch(new LiftedBytes(peer.control, (sink) => peer.borrow(sink)).pipe(lines({ maxLength: 5 })));
    peer.push(bytes('abc'));
    peer.push(bytes('de\n123456'));
    expect(seen.values).toEqual(['abcde']);
    expect(peer.control.closedAs).toEqual([new FrameTooLongError(5, 6)]);
  });

  // `lines` decodes ahead, and `delimited` does not.
  it.each([
    ['lines', lines()],
    ['delimited', pipe(delimited('\n'), map(String))],
  ])('keeps the order when its own observer emits to the source and completes it: %s', (_, decode) => {
    const source = new Subject<Uint8Array>();
    const seen: string[] = [];
    source.pipe(decode).subscribe({
      next: (line) => {
        seen.push(line);
        if (line === 'a') {
          source.next(bytes('c\nd'));
          source.next(bytes('\n'));
          source.complete();
        }
      },
      complete: () => seen.push('|'),
    });
    source.next(bytes('a\nb\n'));
    expect(seen).toEqual(['a', 'b', 'c', 'd', '|']);
  });

  it('errors at a chunk that is not bytes, after the frames before it', () => {
    const source = of(bytes('a\nb'), 'c\n' as unknown as Uint8Array);
    const { values, error } = watch(source.pipe(lines()));
    expect([values, String(error)]).toEqual([['a'], "TypeError: Cannot frame 'c\\n': it is not a Uint8Array"]);
  });

  it('emits the rest of a chunk when its own observer completes the source', () => {
    const source = new Subject<Uint8Array>();
    const seen = watch(
      source.pipe(
        lines(),
        tap(() => source.complete()),
      ),
    );
    source.next(bytes('a\nb\n'));
    expect(seen).toEqual({ values: ['a', 'b'], completed: true });
  });

  it('sets the close reason before it errors', () => {
    const peer = new Borrowed();
    let reasons = 0;
    peer.pipe(lines({ maxLength: 1 })).subscribe({
      error: () => {
        reasons = peer.control.closedAs.length;
      },
    });
    peer.push(bytes('ab'));
    expect(reasons).toBe(1);
    expect(peer.released).toBe(true);
  });
});

describe('frames, when the input pauses', () => {
  it('are emitted one for each resume, when each pauses the input', () => {
    const peer = new Borrowed();
    const seen: string[] = [];
    peer.pipe(lines()).subscribe((line) => {
      seen.push(line);
      peer.control.isPaused = true;
    });
    peer.push(bytes('a\nb\nc'));
    expect(seen).toEqual(['a']);
    peer.open();
    expect(seen).toEqual(['a', 'b']);
    peer.push(bytes('\n'));
    peer.open();
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('are decoded in the same loop when the input is paused and resumed within one frame', () => {
    const peer = new Borrowed();
    const seen: string[] = [];
    peer.pipe(lines()).subscribe((line) => {
      seen.push(line);
      peer.control.isPaused = true;
      peer.open();
      seen.push('.');
    });
    peer.push(bytes('a\nb\n'));
    expect(seen).toEqual(['a', '.', 'b', '.']);
  });

  it('wait, in order, behind an operator that emits chunks during the pause', () => {
    const peer = new Borrowed();
    const { control } = peer;
    const late = new Subject<Uint8Array>();
    const seen = watch(peer.pipe(mergeWith(late), delimited('\n'), map(String)));
    control.isPaused = true;
    for (const chunk of ['a\nb', '\nc\n', 'd']) late.next(bytes(chunk));
    expect([seen.values, control.buffered, control.holders]).toEqual([[], 7, 1]);
    peer.open();
    expect([seen.values, control.buffered, control.holders]).toEqual([['a', 'b', 'c'], 1, 0]);
    late.next(bytes('e\n'));
    expect([seen.values.at(-1), control.buffered, control.holders]).toEqual(['de', 0, 0]);
  });

  it('yield to the other connections after 1024 of them', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.push(Buffer.alloc(5000, '\n'));
    const iterations = [seen.values.length];
    while (peer.control.isPaused) {
      peer.open();
      iterations.push(seen.values.length);
    }
    expect(iterations).toEqual([1024, 2048, 3072, 4096, 5000]);
    expect(peer.control.yields).toBe(4);
  });

  it('are dropped when they are held back and the subscriber unsubscribes', () => {
    const peer = new Borrowed();
    const seen: string[] = [];
    const subscription = peer.pipe(lines()).subscribe((line) => {
      seen.push(line);
      peer.control.isPaused = true;
    });
    peer.push(bytes('a\nb\n'));
    subscription.unsubscribe();
    peer.open();
    expect(seen).toEqual(['a']);
  });
});

describe('frames, when the server drains', () => {
  it('complete at once between two frames', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.drain();
    expect(seen.completed).toBe(true);
    expect(peer.released).toBe(true);
  });

  it('complete directly after the frame that had begun', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.push(bytes('a\nb'));
    peer.drain();
    expect(seen.completed).toBe(false);
    peer.push(bytes('c'));
    peer.push(bytes('d\ne\nf'));
    expect(seen).toEqual({ values: ['a', 'bcd'], completed: true });
  });

  it.each([
    ['complete ones are dropped', 'a\nb\nc', 'd\n', ['a']],
    ['a complete one that is too long is dropped', 'a\n12345\n', '', ['a']],
    ['the drain waits for one that has begun', 'a\nb', 'c\nd\n', ['a', 'bc']],
    ['there is nothing to drop', 'a\n', 'b\n', ['a']],
  ])('of frames that a pause holds back, %s', (_, before, after, expected) => {
    const peer = new Borrowed();
    const values: string[] = [];
    let completed = false;
    peer.pipe(lines({ maxLength: 4 })).subscribe({
      next: (line) => {
        values.push(line);
        peer.control.isPaused = true;
      },
      complete: () => {
        completed = true;
      },
    });
    peer.push(bytes(before));
    peer.drain();
    peer.push(bytes(after));
    peer.openAll();
    expect({ values, completed }).toEqual({ values: expected, completed: true });
    expect(peer.control.closedAs).toEqual([]);
  });

  it.each([
    ['a\nb\n', '', ['a']],
    ['a\nb', 'c\nd\n', ['a', 'bc']],
    ['a\n', 'b\n', ['a']],
  ])('within the emission of a frame: %j, then %j', (before, after, expected) => {
    const peer = new Borrowed();
    const values: string[] = [];
    let completed = false;
    peer.pipe(lines()).subscribe({
      next: (line) => {
        values.push(line);
        peer.drain();
      },
      complete: () => {
        completed = true;
      },
    });
    peer.push(bytes(before));
    peer.push(bytes(after));
    expect({ values, completed }).toEqual({ values: expected, completed: true });
  });

  it('are still truncated when the input ends in the middle of one', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(lines()));
    peer.push(bytes('ab'));
    peer.drain();
    peer.end();
    expect(seen.error).toEqual(new FrameTruncatedError(2));
  });
});

describe('frames, of a user’s format', () => {
  /** Each digit is a frame; a space is a blank; any other byte is an error. */
  class Digits implements Decoder<number> {
    buffered = 0;
    decode(input: Input): number | typeof PENDING | typeof BLANK {
      const byte = input.bytes[input.at];
      if (byte === undefined) return PENDING;
      input.at++;
      if (byte === 32) return BLANK;
      if (byte < 48 || byte > 57) throw 'not a digit';
      return byte - 48;
    }
    decodeEof(): number {
      return -1;
    }
  }

  class Symbols implements Decoder<symbol> {
    readonly buffered = 0;
    decode(input: Input): symbol {
      const byte = input.bytes[input.at];
      if (byte === undefined) return PENDING;
      input.at++;
      return Symbol.for(String.fromCharCode(byte));
    }
    decodeEof(): symbol {
      return BLANK;
    }
  }

  it('need only a decoder', () => {
    expect(watch(of(bytes('1 2'), bytes('3')).pipe(frames(() => new Digits())))).toEqual({
      values: [1, 2, 3],
      completed: true,
    });
  });

  it.each([Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY])(
    'fail their connection if the decoder holds %d bytes',
    async (held) => {
      class Wrong extends Digits {
        override buffered = held;
      }
      const server = await TestServer.open((connection) =>
        connection.pipe(
          frames(() => new Wrong()),
          map(String),
        ),
      );
      const client = await server.connect();
      client.write('1').end();
      await server.clock.settle();
      expect(server.log.of('failed')).toMatchObject([
        { error: { message: `Cannot count what is held of the input: ${held} is not a number of bytes, 0 or more` } },
      ]);
      expect(server.log.closes).toEqual(['failed']);
    },
  );

  it('may be symbols', () => {
    const source = of(bytes('12')).pipe(frames(() => new Symbols()));
    expect(watch(source)).toEqual({ values: [Symbol.for('1'), Symbol.for('2')], completed: true });
  });

  it('count as buffered the `memory` of the decoder, not what is only announced', () => {
    class Skips extends Digits {
      override buffered = 2_000_000_000;
      readonly memory = 7;
    }
    const peer = new Borrowed();
    watch(peer.pipe(frames(() => new Skips())));
    peer.push(bytes('1'));
    expect(peer.control.buffered).toBe(7);
  });

  it('error with an Error, and the thrown value as its cause, when a decoder throws another value', () => {
    const seen = watch(of(bytes('1x')).pipe(frames(() => new Digits())));
    expect(seen.values).toEqual([1]);
    expect(seen.error).toMatchObject({ name: 'FrameInvalidError', cause: 'not a digit' });
  });
});

describe('frames, by the million', () => {
  it('are decoded from one chunk in one loop', () => {
    let count = 0;
    of(Buffer.alloc(2_000_000, 'a\n'))
      .pipe(lines())
      .subscribe(() => count++);
    expect(count).toBe(1_000_000);
    count = 0;
    of(Buffer.alloc(1_000_000))
      .pipe(lengthPrefixed({ size: 1 }))
      .subscribe(() => count++);
    expect(count).toBe(1_000_000);
  });

  it('are decoded from one chunk in one loop, when each pauses and resumes the input', () => {
    const peer = new Borrowed();
    let count = 0;
    peer.pipe(lines()).subscribe(() => {
      count++;
      peer.control.isPaused = true;
      if (count > 1) peer.open();
    });
    peer.push(Buffer.alloc(64 * 1024, '\n'));
    peer.openAll();
    expect(count).toBe(64 * 1024);
  });

  it('are decoded from one chunk, when each pauses the input', () => {
    const peer = new Borrowed();
    let count = 0;
    peer.pipe(lines()).subscribe(() => {
      count++;
      peer.control.isPaused = true;
    });
    peer.push(Buffer.alloc(64 * 1024, '\n'));
    peer.openAll();
    expect(count).toBe(64 * 1024);
  });
});
