import fc from 'fast-check';
import {
  catchError,
  defer,
  delay,
  EMPTY,
  endWith,
  filter,
  identity,
  ignoreElements,
  map,
  mergeMap,
  Observable,
  type OperatorFunction,
  observeOn,
  of,
  pipe,
  publish,
  refCount,
  Subject,
  share,
  startWith,
  take,
  tap,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { encodeLengthPrefixed, exchange, idle, inPlace, lengthPrefixed, lines, type Stream } from '../../lib/index.ts';
import { examples } from '../framing/formats.ts';
import { Borrowed } from '../support/borrowed.ts';
import { chop, chunkings, watch } from '../support/bytes.ts';
import { clockOf } from '../support/internals.ts';
import { run } from '../support/peers.ts';
import { TestServer } from '../support/testServer.ts';

type Front = OperatorFunction<Uint8Array, Uint8Array>;

const invert = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 0xff);
const plain = (bytes: Uint8Array) => bytes;
const none = Buffer.alloc(0);
/** A plain operator of RxJS. (`tap()` without an argument is no operator: it returns its source.) */
const mirror: Front = tap(() => {});

/** Operators in front of a framing operator, and how the peer has to encode text for them. */
const fronts: [string, (connection: Connection) => Front, ((bytes: Buffer) => Uint8Array)?][] = [
  ['nothing', () => identity],
  ['tap', () => mirror],
  ['map, which decrypts', () => map(invert), invert],
  ['filter', () => filter((chunk) => chunk.length > 0)],
  ['startWith', () => startWith(none)],
  ['endWith', () => endWith(none)],
  ['share', () => share()],
  ['publish and refCount', () => pipe(publish(), refCount())],
  ['catchError that subscribes again', () => catchError((_error, caught) => caught)],
  ['two operators as one', () => pipe(mirror, map(plain))],
  ['an operator of a user', () => (source) => new Observable((to) => source.subscribe(to))],
  [
    'one that subscribes to the connection itself',
    (connection) => () => new Observable((to) => connection.subscribe(to)),
  ],
  ['one that pipes the connection itself', (connection) => () => defer(() => connection.pipe(mirror))],
  ['idle over tap', () => pipe(mirror, idle(60_000))],
  ['inPlace', () => inPlace((chunk) => Buffer.from(chunk))],
  ['a framing operator, whose frames contain the lines', () => lengthPrefixed(), encodeLengthPrefixed()],
];

describe.each(fronts)('a framing operator behind %s', (_, front, encode = plain) => {
  const bytes = (text: string) => encode(Buffer.from(text));

  it('emits the line that had begun when the server drained, and no later one', async () => {
    const server = await TestServer.open((connection) =>
      connection.pipe(
        front(connection),
        lines(),
        map((line) => `${line}\n`),
      ),
    );
    const client = await server.connect();
    client.write(bytes('first\nha'));
    await server.clock.settle();
    await server.signal();
    expect(client.ended).toBe(false);
    client.write(bytes('lf\nnever\n'));
    await server.clock.settle();
    expect([client.text, client.ended]).toEqual(['first\nhalf\n', true]);
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['drained']);
  });

  it('completes at once in a drain when no line has begun', async () => {
    const server = await TestServer.open((connection) => connection.pipe(front(connection), lines()));
    const [silent, between] = await server.connectAll(2);
    between?.write(bytes('a\n'));
    await server.clock.settle();
    await server.signal();
    expect([silent?.ended, between?.ended]).toEqual([true, true]);
  });

  it('stops after any line when the input is paused, and continues from there', async () => {
    const begun: string[] = [];
    const work = new Subject<void>();
    const decode = (connection: Connection) => pipe(front(connection), lines());
    const server = await TestServer.open((connection) =>
      exchange(
        () => connection.pipe(decode(connection)),
        (line) => {
          begun.push(line);
          return work.pipe(
            take(1),
            map(() => `${line}\n`),
          );
        },
      )(connection),
    );
    const client = await server.connect();
    client.write(bytes('a\nb\nc\n'));
    await server.clock.settle();
    client.end();
    await server.clock.settle();
    for (const seen of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
      expect(begun).toEqual(seen);
      work.next();
      await server.clock.settle();
    }
    expect([client.text, client.ended]).toEqual(['a\nb\nc\n', true]);
    expect(server.log.closes).toEqual(['ended']);
  });

  it('drops complete lines that a pause held back when the server drains', async () => {
    const work = new Subject<void>();
    const server = await TestServer.open((connection) =>
      exchange(
        () => connection.pipe(front(connection), lines()),
        (line) =>
          work.pipe(
            take(1),
            map(() => `${line}\n`),
          ),
      )(connection),
    );
    const client = await server.connect();
    client.write(bytes('a\nb\nc\n'));
    await server.clock.settle();
    await server.signal();
    work.next();
    await server.clock.settle();
    expect([client.text, client.ended]).toEqual(['a\n', true]);
  });

  it('emits no line while the peer does not read the replies, and loses none', async () => {
    const unsent: (() => number)[] = [];
    const server = await TestServer.open(
      (connection) => {
        unsent.push(() => connection.unsent);
        return connection.pipe(
          front(connection),
          lines(),
          map((line) => line.repeat(100)),
        );
      },
      { highWaterMark: 1000, maxOutbound: 2000 },
    );
    const client = await server.connect({ window: 1 });
    client.pause();
    client.write(bytes('a\n'));
    await server.clock.settle();
    client.write(bytes('bcdefghijk\n'.repeat(100)));
    await server.clock.settle();
    expect(unsent[0]?.()).toBeLessThan(3000);
    client.resume().end();
    await server.clock.settle();
    expect(client.text).toBe('a'.repeat(100) + 'bcdefghijk'.repeat(100 * 100));
    expect(server.log.closes).toEqual(['ended']);
  });

  it('continues to read while output of write() is unsent, because that output does not derive from the input', () => {
    const seen: string[] = [];
    run({ window: 1, highWaterMark: 10 }, ({ connection, client, at }) => {
      client.pause();
      connection.pipe(front(connection), lines()).subscribe((line) => seen.push(line));
      void connection.write('x'.repeat(1000));
      at(1, () => client.write(bytes('a\n')));
      at(2, () => client.write(bytes('b\n')));
      at(3, () => seen.push(connection.unsent > 900 ? 'output waits' : 'no output waits'));
      at(4, () => client.resume().end());
    });
    expect(seen).toEqual(['a', 'b', 'output waits']);
  });

  it('emits the next line to a loop when the body has run', async () => {
    const begun: string[] = [];
    const work = new Subject<void>();
    const server = await TestServer.open(async (connection) => {
      for await (const line of connection.pipe(front(connection), lines())) {
        begun.push(line);
        await new Promise<void>((resolve) => work.pipe(take(1)).subscribe({ complete: resolve }));
      }
    });
    const client = await server.connect();
    client.write(bytes('a\nb\n'));
    await server.clock.settle();
    expect(begun).toEqual(['a']);
    work.next();
    await server.clock.settle();
    expect(begun).toEqual(['a', 'b']);
  });

  it('has the server’s frame deadline', async () => {
    const server = await TestServer.open((connection) => connection.pipe(front(connection), lines()), { frame: 500 });
    const client = await server.connect();
    client.write(bytes('ha'));
    await server.clock.advance(499);
    client.write(bytes('l'));
    await server.clock.settle();
    expect(client.ended).toBe(false);
    await server.clock.advance(1);
    expect(client.ended).toBe(true);
    client.end();
    await server.clock.settle();
    expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'frame' }]);
  });

  it('sets the close reason for a line that is too long, whatever is replied to it', async () => {
    const server = await TestServer.open((connection) =>
      connection.pipe(
        front(connection),
        lines({ maxLength: 3 }),
        catchError(() => of('too long')),
      ),
    );
    const client = await server.connect();
    client.write(bytes('1234')).end();
    await server.clock.settle();
    expect(client.text).toBe('too long');
    expect(server.log.of('closed')).toMatchObject([{ reason: 'frame-too-long', error: new FrameTooLongError(3, 4) }]);
  });

  it('counts in the budget what it holds', async () => {
    const handler = (connection: Connection) => connection.pipe(front(connection), lines(), ignoreElements());
    const server = await TestServer.open(handler, { budget: 1000 });
    const client = await server.connect();
    client.write(bytes('x'.repeat(1600)));
    await server.clock.settle();
    await server.connect();
    expect(server.log.of('refused')).toMatchObject([{ reason: 'budget' }]);
  });
});

describe('a framing operator behind an operator that delays', () => {
  it.each<[string, (connection: Connection) => Front]>([
    ['delay', (connection) => delay(5, clockOf(connection))],
    ['observeOn', (connection) => observeOn(clockOf(connection))],
  ])('%s emits every line, in order, at the pace of the exchange behind it', async (_, front) => {
    const server = await TestServer.open((connection) =>
      exchange(
        () => connection.pipe(front(connection), lines()),
        (line) => of(`${line} `).pipe(delay(50, clockOf(connection))),
      )(connection),
    );
    const client = await server.connect();
    const sent = Array.from({ length: 50 }, (_, i) => `${i}`);
    for (const line of sent) {
      client.write(`${line}\n`);
      await server.clock.advance(7);
    }
    client.end();
    await server.clock.advance(5000);
    expect(client.text).toBe(sent.map((line) => `${line} `).join(''));
    expect(server.log.closes).toEqual(['ended']);
  });
});

describe('several framing operators on one input', () => {
  it('all reach their boundary before the input completes', async () => {
    const seen: string[] = [];
    const server = await TestServer.open((connection) => {
      const bytes = connection.pipe(share());
      const two = [1, 2].map((n) =>
        bytes.pipe(
          lines(),
          tap((line) => seen.push(`${n} ${line}`)),
        ),
      );
      return of(...two).pipe(mergeMap(identity), ignoreElements());
    });
    const client = await server.connect();
    client.write('ha');
    await server.clock.settle();
    await server.signal();
    client.write('lf\n');
    await server.clock.settle();
    client.write('never\n');
    await server.clock.settle();
    expect(seen).toEqual(['1 half', '2 half']);
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['drained']);
  });

  it('completes for a plain subscriber too, in a drain, when the one framing operator has ended', async () => {
    const seen: string[] = [];
    const server = await TestServer.open((connection) => {
      const bytes = connection.pipe(share());
      bytes.subscribe({ next: (chunk) => seen.push(`${chunk}`), complete: () => seen.push('|') });
      return bytes.pipe(lines(), ignoreElements());
    });
    const client = await server.connect();
    client.write('ha');
    await server.clock.settle();
    await server.signal();
    expect(seen).toEqual(['ha']);
    client.write('lf\n');
    await server.clock.settle();
    expect(seen).toEqual(['ha', 'lf\n', '|']);
    expect(client.ended).toBe(true);
  });
});

describe('plain operators on a connection, without framing', () => {
  it('complete at once in a drain', async () => {
    const server = await TestServer.open((connection) => connection.pipe(mirror, map(plain)));
    const client = await server.connect();
    client.write('ha');
    await server.clock.settle();
    await server.signal();
    expect([client.text, client.ended]).toEqual(['ha', true]);
  });
});

describe('frames behind plain operators, for any format', () => {
  const front = fc.constantFrom<Front>(mirror, map(plain), share(), pipe(mirror, map(plain)), startWith(none));

  it('are neither lost nor doubled nor reordered, wherever the input is split and paused', () => {
    const closings = fc.infiniteStream(fc.boolean());
    fc.assert(
      fc.property(examples, front, chunkings, closings, ({ decode, sent, frames }, front, cuts, closing) => {
        const peer = new Borrowed();
        const values: unknown[] = [];
        let completed = false;
        peer.pipe(front, decode).subscribe({
          next: (value) => {
            expect(peer.control.isPaused).toBe(false);
            values.push(value);
            peer.control.isPaused = closing.next().value === true;
          },
          complete: () => {
            completed = true;
          },
        });
        for (const chunk of chop(Buffer.concat(sent), cuts)) {
          peer.push(chunk);
          if (closing.next().value === true) peer.open();
        }
        peer.end();
        peer.openAll();
        expect({ values, completed }).toEqual({ values: frames, completed: true });
        expect(peer.control.buffered).toBe(0);
        expect(peer.control.followers.size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it('end at the first frame boundary after the drain begins, wherever that is', () => {
    fc.assert(
      fc.property(examples, front, fc.nat(), chunkings, ({ decode, sent, frames }, front, at, cuts) => {
        const all = Buffer.concat(sent);
        const begin = at % (all.length + 1);
        const peer = new Borrowed();
        const seen = watch(peer.pipe(front, decode));
        for (const chunk of chop(all.subarray(0, begin), cuts)) peer.push(chunk);
        peer.drain();
        for (const chunk of chop(all.subarray(begin), cuts)) peer.push(chunk);
        let count = 0;
        for (let end = 0; end < begin; count++) end += sent[count]?.length ?? 0;
        expect(seen).toEqual({ values: frames.slice(0, count), completed: true });
        expect(peer.released).toBe(true);
        expect(peer.control.closedAs).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('are truncated when the input ends in the middle of one, which is the close reason', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(mirror, lines()));
    peer.push(Buffer.from('a\nbc'));
    expect(peer.control.buffered).toBe(2);
    peer.end();
    expect(peer.control.buffered).toBe(0);
    expect(seen).toMatchObject({ values: ['a'], error: new FrameTruncatedError(2) });
    expect(peer.control.closedAs).toEqual([seen.error]);
  });
});

describe('what pipe returns', () => {
  const symbols = (value: object) => Object.getOwnPropertySymbols(value);

  it('is the connection itself without operators', () => {
    const peer = new Borrowed();
    expect(peer.pipe()).toBe(peer);
    const piped = peer.pipe(mirror);
    expect(piped.pipe()).toBe(piped);
  });

  it('does not change EMPTY, and can be iterated over nevertheless', async () => {
    const peer = new Borrowed();
    const nothing = peer.pipe(take(0));
    expect(symbols(EMPTY)).toEqual([]);
    for await (const _ of nothing) throw new Error('a value was emitted');
    expect(watch(nothing)).toEqual({ values: [], completed: true });
  });

  it.each<[string, Observable<unknown>]>([
    ['a Subject', new Subject()],
    ['an Observable', new Observable()],
    ['a frozen Observable', Object.freeze(of(1))],
  ])('does not change %s that an operator returns', (_, shared) => {
    const before = Reflect.ownKeys(shared);
    const peer = new Borrowed();
    const piped = peer.pipe(() => shared);
    expect(Reflect.ownKeys(shared)).toEqual(before);
    expect(Symbol.asyncIterator in piped).toBe(true);
  });

  it('pauses the input of its own connection in a loop, even over a stream that several connections share', async () => {
    const shared = new Subject<string>();
    const peers = [new Borrowed(), new Borrowed(), new Borrowed()];
    const loops = peers.map((peer) => peer.pipe(() => shared)[Symbol.asyncIterator]());
    const first = loops[1]?.next();
    shared.next('a');
    expect(await first).toEqual({ done: false, value: 'a' });
    expect(peers.map(({ control }) => control.isPaused)).toEqual([false, true, false]);
  });

  it('is what the operator returns if that is not an Observable, or is iterable already', () => {
    const peer = new Borrowed();
    const other = new Borrowed();
    const promise = Promise.resolve(1);
    expect(peer.pipe(() => promise as never)).toBe(promise);
    expect(peer.pipe(() => other)).toBe(other);
    const piped = other.pipe(mirror);
    expect(peer.pipe(() => piped)).toBe(piped);
  });

  it('can be iterated over behind any number of pipes', async () => {
    const peer = new Borrowed();
    const piped = peer.pipe(mirror).pipe(lines()).pipe(map(Number)) as Stream<number>;
    const loop = piped[Symbol.asyncIterator]();
    const first = loop.next();
    peer.push(Buffer.from('1\n2\n'));
    expect(await first).toEqual({ done: false, value: 1 });
    expect(peer.control.isPaused).toBe(true);
  });
});
