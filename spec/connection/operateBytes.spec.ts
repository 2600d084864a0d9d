import {
  concat,
  delay,
  from,
  ignoreElements,
  type MonoTypeOperatorFunction,
  map,
  NEVER,
  Observable,
  of,
  pipe,
  Subject,
  type Subscription,
  share,
  take,
  tap,
  throwError,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Bytes, borrow, LiftedBytes } from '../../lib/connection/bytes.ts';
import type { SourceControl } from '../../lib/connection/source.ts';
import { FrameInvalidError } from '../../lib/errors.ts';
import {
  type ByteSink,
  type BytesControl,
  type BytesOperator,
  type Connection,
  encodeLine,
  exchange,
  inPlace,
  lengthPrefixed,
  lines,
  type OperatorSink,
  operateBytes,
} from '../../lib/index.ts';
import { Borrowed } from '../support/borrowed.ts';
import { type Seen, watch } from '../support/bytes.ts';
import { clockOf } from '../support/internals.ts';
import { marbles } from '../support/marbles.ts';
import { run } from '../support/peers.ts';
import { TestServer } from '../support/testServer.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const text = inPlace((chunk) => Buffer.from(chunk).toString());
/** A plain operator of RxJS. (`tap()` without an argument is no operator: it returns its source.) */
const plain: MonoTypeOperatorFunction<Uint8Array> = tap(() => {});
const passing = () => operateBytes(() => ({}));
/** Emits each byte as a chunk. */
const bytewise = operateBytes((sink) => ({
  next(chunk) {
    for (let at = 0; at < chunk.length; at++) sink.next(chunk.subarray(at, at + 1));
  },
}));
const fault = new Error('a fault of the operator');

/** An operator, and the sink and the control that it received. */
function given(made: BytesOperator = {}) {
  const out = {} as { sink: OperatorSink; control: BytesControl };
  const operator = operateBytes((sink, control) => {
    Object.assign(out, { sink, control });
    return made;
  });
  return Object.assign(out, { operator });
}

describe('an operator that overrides nothing', () => {
  it(
    'mirrors a plain Observable of bytes',
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const values = { a: bytes('a'), b: bytes('b') };
      const source = hot('  --a--b---|', values);
      const expected = '    --a--b---|';
      const subscription = '^--------!';
      expectObservable(source.pipe(passing())).toBe(expected, values);
      expectSubscriptions(source.subscriptions).toBe(subscription);
    }),
  );

  it(
    'errors as its source does, and unsubscribes from it when it is unsubscribed',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const failing = cold<Uint8Array>('--#', undefined, fault);
      expectObservable(failing.pipe(passing())).toBe('--#', undefined, fault);
      const endless = cold<Uint8Array>('-----');
      expectObservable(endless.pipe(passing()), '^--!').toBe('-----');
      expectSubscriptions(endless.subscriptions).toBe('^--!');
    }),
  );

  it('stops an endless synchronous source when downstream has enough', () => {
    const endless = from({
      *[Symbol.iterator]() {
        for (;;) yield bytes('a');
      },
    });
    expect(watch(endless.pipe(passing(), take(3))).values.length).toBe(3);
  });

  it('emits the borrowed chunk itself in place, and copies to a plain subscriber', () => {
    const peer = new Borrowed();
    const chunks: Uint8Array[] = [];
    borrow(peer.pipe(passing(), passing()), { next: (chunk) => chunks.push(chunk), error() {}, complete() {} });
    peer.push(bytes('abc'));
    expect(chunks.map((chunk) => Buffer.from(chunk).toString('hex'))).toEqual(['aaaaaa']);
    const other = new Borrowed();
    const seen = watch(other.pipe(passing()));
    other.push(bytes('abc'));
    expect(seen.values).toEqual([bytes('abc')]);
  });

  it('passes resume and drain on to the sink, and what the sink is uncoupled from', () => {
    const calls: string[] = [];
    const sink: ByteSink = {
      uncoupled: true,
      next() {},
      error() {},
      complete: () => calls.push('complete'),
      resume: () => calls.push('resume'),
      drain: () => calls.push('drain'),
    };
    const peer = new SinkBytes();
    borrow(peer.pipe(passing()), sink);
    peer.sink?.resume?.();
    peer.sink?.drain?.();
    expect([peer.sink?.uncoupled, ...calls]).toEqual([true, 'resume', 'drain']);
    const { uncoupled: _, drain: __, ...other } = sink;
    borrow(peer.pipe(passing()), other);
    peer.sink?.drain?.();
    expect([peer.sink?.uncoupled, ...calls]).toEqual([undefined, 'resume', 'drain', 'complete']);
    expect(peer.subscriptions).toBe(1);
  });
});

/** Bytes that show the sink that subscribed to them. */
class SinkBytes extends Bytes {
  readonly control = new Borrowed().control as SourceControl;
  sink: ByteSink | undefined;
  subscriptions = 0;
  borrow(sink: ByteSink) {
    this.sink = sink;
    this.subscriptions++;
    return new Observable<never>(() => () => this.subscriptions--).subscribe();
  }
}

describe('an operator', () => {
  it.each<[string, (fail: () => never) => BytesOperator, string]>([
    ['next', (fail) => ({ next: fail }), 'a'],
    ['complete', (fail) => ({ complete: fail }), ''],
  ])('that throws in %s errors with that, in place and on a plain Observable', (_, make) => {
    const operator = operateBytes(() =>
      make(() => {
        throw fault;
      }),
    );
    const peer = new Borrowed();
    const seen = watch(peer.pipe(operator, text));
    peer.push(bytes('a'));
    peer.end();
    expect([seen.error, peer.released]).toEqual([fault, true]);
    expect(watch(of(bytes('a')).pipe(operator)).error).toBe(fault);
  });

  it('that throws for an error of its source errors with its own', () => {
    const operator = operateBytes(() => ({
      error() {
        throw fault;
      },
    }));
    expect(watch(throwError(() => 'first').pipe(operator)).error).toBe(fault);
  });

  it('that throws as it is made errors for that subscriber', () => {
    const operator = operateBytes(() => {
      throw fault;
    });
    expect(watch(new Borrowed().pipe(operator, lines())).error).toBe(fault);
    expect(watch(of(bytes('a')).pipe(operator)).error).toBe(fault);
  });

  it.each([undefined, null, 1])('that is %o is a TypeError', (made) => {
    const message = 'Cannot operate on bytes: operator must return an object, not ';
    expect(watch(NEVER.pipe(operateBytes(() => made as never))).error).toEqual(new TypeError(`${message}${made}`));
  });

  it('reports what a teardown throws, if the chunk that it emits unsubscribes from it', () => {
    const peer = new Borrowed();
    const sink = {
      next() {
        reading.add(() => {
          throw fault;
        });
        reading.unsubscribe();
      },
      error: () => expect.fail('an error after the end'),
      complete() {},
    };
    const reading = borrow(peer.pipe(passing()), sink) as Subscription;
    expect(() => peer.push(bytes('a'))).toThrow(fault.message);
    expect(peer.released).toBe(true);
  });

  it.each<[string, (source: Subject<Uint8Array>, end: () => void) => void]>([
    ['its source completes', (source) => source.complete()],
    ['its source errors', (source) => source.error(fault)],
    ['it is unsubscribed', (_source, end) => end()],
  ])('is finalized once when %s', (_, end) => {
    for (const place of [pipe(passing()), undefined]) {
      let finalized = 0;
      const operator = operateBytes(() => ({ finalize: () => finalized++ }));
      const source = new Subject<Uint8Array>();
      const peer = new Borrowed();
      source.subscribe({
        error: (error) => peer.fail(error),
        complete: () => peer.end(),
      });
      const bytes = place ? peer.pipe(place, operator) : source.pipe(operator);
      const reading = bytes.subscribe({ error: () => {} });
      expect(finalized).toBe(0);
      end(source, () => reading.unsubscribe());
      reading.unsubscribe();
      expect(finalized).toBe(1);
    }
  });

  it.each<[string, (sink: OperatorSink) => void, Partial<Seen<string>>]>([
    ['an error that it emits', (sink) => sink.error(fault), { error: fault }],
    ['a complete that it emits', (sink) => sink.complete(), { completed: true }],
    [
      'an error that it throws',
      () => {
        throw fault;
      },
      { error: fault },
    ],
  ])('ends with %s: it is called no more, and what it emits is ignored', (_, end, expected) => {
    const calls: string[] = [];
    const operator = operateBytes((sink) => ({
      next(chunk) {
        calls.push(`next ${chunk}`);
        if (chunk[0] !== 0x78) return sink.next(chunk);
        end(sink);
        sink.next(bytes('ignored'));
        sink.complete();
        sink.error('ignored');
      },
      error: () => calls.push('error'),
      complete: () => calls.push('complete'),
      resume: () => calls.push('resume'),
      drain: () => calls.push('drain'),
      finalize: () => calls.push('finalize'),
    }));
    // An operator in front emits each byte of a chunk, whether or not the one behind it has ended.
    for (const front of [pipe(bytewise), pipe(bytewise, plain)]) {
      calls.length = 0;
      const peer = new Borrowed();
      const seen = watch(peer.pipe(front, operator, text));
      peer.push(bytes('axb'));
      peer.drain();
      peer.end();
      expect(calls).toEqual(['next a', 'next x', 'finalize']);
      expect(seen).toEqual({ values: ['a'], completed: false, ...expected });
    }
  });

  it('that ends while a framing operator behind it holds frames does not lose them', async () => {
    const twoChunks = operateBytes((sink) => {
      let count = 0;
      return {
        next(chunk) {
          sink.next(chunk);
          if (++count === 4) sink.complete();
        },
      };
    });
    const slow = (line: string, connection: Connection) => of(`${line}\n`).pipe(delay(10, clockOf(connection)));
    const server = await TestServer.open(exchange((input) => input.pipe(bytewise, twoChunks, lines()), slow));
    const client = await server.connect();
    client.write('a\nb\nc\n');
    await server.clock.advance(50);
    expect([client.text, client.ended]).toEqual(['a\nb\n', true]);
  });

  it('is called for one chunk at a time, in order, and not once a stack frame, although it resumes within `next`', () => {
    const one = given({
      next(chunk) {
        one.control.pause();
        one.control.resume();
        one.sink.next(chunk);
      },
    });
    const many = Array.from({ length: 50_000 }, (_, n) => bytes(`${n} `));
    const source = new Subject<Uint8Array>();
    const seen = watch(source.pipe(one.operator, text));
    one.control.pause();
    for (const chunk of many) source.next(chunk);
    source.complete();
    expect(seen.values).toEqual([]);
    one.control.resume();
    expect(seen.values.join('')).toBe(many.join(''));
    expect(seen.completed).toBe(true);
  });

  it('that receives a chunk and the end within its own call handles them when it has returned', () => {
    const source = new Subject<Uint8Array>();
    const operator = operateBytes((sink) => ({
      next(chunk) {
        if (chunk[0] === 0x61) {
          source.next(bytes('b'));
          source.complete();
        }
        sink.next(chunk);
      },
    }));
    const seen = watch(source.pipe(operator, text));
    source.next(bytes('a'));
    expect(seen).toEqual({ values: ['a', 'b'], completed: true });
  });

  it.each<[string, MonoTypeOperatorFunction<Uint8Array>]>([
    ['in place', pipe(passing())],
    ['behind a plain operator', plain],
  ])('whose finalize throws is reported, and hides no end, %s', async (_, front) => {
    const operator = operateBytes(() => ({
      finalize() {
        throw fault;
      },
    }));
    const server = await TestServer.open((connection) => connection.pipe(front, operator, lines(), map(encodeLine)));
    const client = await server.connect();
    client.write('a\n').end();
    await server.clock.settle();
    expect([client.text, client.ended]).toEqual(['a\n', true]);
    expect(server.log.of('failed')).toMatchObject([{ error: fault }]);
    expect(server.log.closes).toEqual(['failed']);
  });

  it.each<[string, (sink: OperatorSink) => void, Partial<Seen<Uint8Array>>]>([
    ['completes', (sink) => sink.complete(), { completed: true }],
    ['errors', (sink) => sink.error(fault), { error: fault }],
  ])('that %s as it is made has ended, and is finalized', (_, end, expected) => {
    let finalized = 0;
    const operator = operateBytes((sink) => {
      end(sink);
      return { finalize: () => finalized++ };
    });
    const sources: Observable<Uint8Array>[] = [new Borrowed(), new Borrowed().pipe(plain), of(bytes('a'))];
    for (const source of sources) {
      expect(watch(source.pipe(operator))).toEqual({ values: [], completed: false, ...expected });
    }
    expect(finalized).toBe(3);
  });

  it('that cannot be made leaves no pause and no report behind', () => {
    const peer = new Borrowed();
    const failing = operateBytes((_sink, control) => {
      control.pause();
      control.reportBuffered(7, true);
      throw fault;
    });
    expect(watch(peer.pipe(failing)).error).toBe(fault);
    expect([peer.control.isPaused, peer.control.buffered, peer.control.holders]).toEqual([false, 0, 0]);
  });

  it('has a control that reports whether its chunks are borrowed', () => {
    const [direct, behind, none] = [given(), given(), given()];
    watch(new Borrowed().pipe(direct.operator));
    watch(new Borrowed().pipe(plain, behind.operator));
    watch(NEVER.pipe(none.operator));
    expect([direct, behind, none].map(({ control }) => control.isBorrowed)).toEqual([true, false, false]);
  });

  it.each([undefined, {}, 'x'])('must be made by a function, not by %o', (make) => {
    expect(() => operateBytes(make as never)).toThrow(TypeError);
  });
});

/** An operator that pauses after each chunk, until it is resumed. */
const pausing = () => {
  const one = given({
    next(chunk) {
      one.control.pause();
      one.sink.next(chunk);
    },
  });
  return one;
};

describe('a pause', () => {
  it('keeps the chunks and the end of a plain Observable, in order, until it is resumed', () => {
    const one = pausing();
    const seen = watch(from(['a', 'b', 'c'].map(bytes)).pipe(one.operator, text));
    for (const values of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
      expect(seen).toEqual({ values, completed: false });
      one.control.resume();
    }
    expect(seen.completed).toBe(true);
  });

  it('does not delay an error: the chunks that wait are dropped, as in RxJS', () => {
    const one = pausing();
    const source = concat(
      from([bytes('a'), bytes('b')]),
      throwError(() => fault),
    );
    expect(watch(source.pipe(one.operator, text))).toMatchObject({ values: ['a'], error: fault });
  });

  it('ends when the operator resumes, and only then, if there are several on one input', () => {
    const seen: string[] = [];
    run({}, ({ connection, client, at }) => {
      const [one, other] = [given(), given()];
      connection.pipe(one.operator, other.operator, lines()).subscribe((line) => seen.push(line));
      at(1, () => one.control.pause());
      at(1, () => other.control.pause());
      at(2, () => one.control.pause());
      at(3, () => client.write('a\n'));
      at(4, () => seen.push(`${connection.control.isPaused} ${one.control.isPaused}`));
      at(5, () => one.control.resume());
      at(6, () => one.control.resume());
      at(7, () => seen.push(`${connection.control.isPaused} ${one.control.isPaused}`));
      at(8, () => other.control.resume());
      at(9, () => seen.push(`${connection.control.isPaused} ${one.control.isPaused}`));
      at(10, () => client.end());
    });
    expect(seen).toEqual(['true true', 'true true', 'a', 'false false']);
  });

  it('ends with the operator, and no other pause with it', () => {
    const seen: unknown[] = [];
    run({}, ({ connection, client, at }) => {
      const shared = connection.pipe(share());
      const [one, other] = [given(), given()];
      const reading = shared.pipe(one.operator).subscribe();
      shared.pipe(other.operator, text).subscribe((chunk) => seen.push(chunk));
      at(1, () => one.control.pause());
      at(1, () => other.control.pause());
      at(2, () => client.write('a'));
      at(3, () => reading.unsubscribe());
      at(4, () => seen.push(connection.control.isPaused));
      at(5, () => other.control.resume());
      at(6, () => seen.push(connection.control.isPaused));
      // One that has ended pauses nothing.
      at(7, () => one.control.pause());
      at(8, () => seen.push(connection.control.isPaused));
      at(9, () => client.end());
    });
    expect(seen).toEqual([true, 'a', false, false]);
  });

  it('keeps copies of chunks that an operator in front emits meanwhile, and their order before later input', () => {
    const seen: string[] = [];
    run({}, ({ connection, client, at }) => {
      const halves = operateBytes((sink) => ({
        next(chunk) {
          sink.next(chunk.subarray(0, 1));
          sink.next(chunk.subarray(1));
        },
      }));
      const one = pausing();
      connection.pipe(halves, one.operator, text).subscribe((half) => seen.push(half));
      for (const chunk of ['ab', 'cd', 'ef']) at(1, () => client.write(chunk));
      at(2, () => seen.push('|'));
      for (const ms of [3, 4, 5, 6, 7, 8]) at(ms, () => one.control.resume());
      at(9, () => client.end());
    });
    expect(seen).toEqual(['a', '|', 'b', 'c', 'd', 'e', 'f']);
  });

  it('ends before what waits is emitted, so that a framing operator behind it emits at once', () => {
    const late = new Subject<Uint8Array>();
    const one = given({
      next(chunk) {
        one.sink.next(chunk);
        one.control.pause();
      },
    });
    const seen = watch(new Borrowed().pipe(() => late.asObservable(), one.operator, lines()));
    for (const line of ['a\n', 'b\n', 'c\n']) late.next(bytes(line));
    expect(seen.values).toEqual(['a']);
    one.control.resume();
    expect(seen.values).toEqual(['a', 'b']);
  });

  it('does not keep the end of the source when we have ended the connection', () => {
    const peer = new Borrowed();
    const late = new Subject<Uint8Array>();
    const one = given();
    const seen = watch(peer.pipe(() => late.asObservable(), one.operator, text));
    one.control.pause();
    late.next(bytes('a'));
    peer.control.over = true;
    late.complete();
    expect(seen).toEqual({ values: [], completed: true });
  });

  it('keeps the end of the source for the operator only until it is unsubscribed', () => {
    const calls: string[] = [];
    const one = given({ complete: () => calls.push('complete') });
    const source = new Subject<Uint8Array>();
    const reading = source.pipe(one.operator).subscribe();
    one.control.pause();
    source.next(bytes('a'));
    source.complete();
    reading.unsubscribe();
    one.control.resume();
    expect(calls).toEqual([]);
  });

  it('may end after the connection itself has ended every pause, and changes nothing then', () => {
    const seen: unknown[] = [];
    run({}, ({ connection, client, at }) => {
      const sending = new Subject<string>();
      sending.pipe(connection.send()).subscribe();
      const one = given();
      const reading = connection.pipe(one.operator).subscribe();
      at(1, () => one.control.pause());
      // The connection reads and discards from now on, because it still sends.
      at(2, () => reading.unsubscribe());
      at(3, () => seen.push(connection.control.isPaused));
      at(4, () => client.end());
      at(5, () => sending.complete());
    });
    expect(seen).toEqual([false]);
  });

  it('may begin before the first chunk', () => {
    const seen: unknown[] = [];
    run({}, ({ connection, client, at }) => {
      const one = operateBytes((_sink, control) => {
        control.pause();
        at(5, () => control.resume());
        return {};
      });
      connection.pipe(one, text).subscribe((chunk) => seen.push(chunk));
      at(1, () => client.write('a'));
      at(2, () => seen.push(connection.bytesIn));
      at(6, () => client.end());
    });
    expect(seen).toEqual([0, 'a']);
  });
});

describe('what an operator does to its connection', () => {
  const rejecting = operateBytes((sink, control) => ({
    next(chunk) {
      if (chunk[0] !== 0) return sink.next(chunk);
      const error = new FrameInvalidError('a chunk that begins with 0');
      control.closeAs(error);
      throw error;
    },
  }));

  it.each([
    ['in place', rejecting],
    ['behind a plain operator', pipe(plain, rejecting)],
  ])('sets the close reason, %s', async (_, front) => {
    const server = await TestServer.open((connection) => connection.pipe(front, lines()));
    const client = await server.connect();
    client.write(Buffer.of(0)).end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['frame-invalid']);
  });

  it('counts in the budget what it reports, until it ends', () => {
    const peer = new Borrowed();
    const one = given();
    const reading = peer.pipe(one.operator).subscribe();
    for (const bytes of [100, 300, 200]) {
      one.control.reportBuffered(bytes);
      expect(peer.control.buffered).toBe(bytes);
    }
    expect(() => one.control.reportBuffered(-1)).toThrow(RangeError);
    reading.unsubscribe();
    one.control.reportBuffered(400);
    expect(peer.control.buffered).toBe(0);
  });

  it('is resumed while memory is short if it reports that it can emit what it holds', async () => {
    const holding = operateBytes((sink, control) => {
      const kept: Buffer[] = [];
      const report = () => control.reportBuffered(Buffer.concat(kept).length, true);
      const emit = () => {
        for (const chunk of kept.splice(control.isPaused ? kept.length : 0)) sink.next(chunk);
        report();
      };
      return {
        next(chunk) {
          kept.push(Buffer.from(chunk));
          report();
          control.clock.schedule(emit, 20);
        },
        resume: emit,
      };
    });
    const handler = (connection: Connection) =>
      connection.pipe(
        holding,
        lines(),
        map((line) => `${line.length}\n`),
      );
    const server = await TestServer.open(handler, { budget: 1000 });
    const clients = await server.connectAll(4);
    for (const client of clients) client.write(`${'x'.repeat(600)}\n`);
    await server.clock.advance(50);
    for (const client of clients) client.write(`${'x'.repeat(600)}\n`);
    await server.clock.advance(2000);
    expect(clients.map((client) => client.text)).toEqual(Array(4).fill('600\n600\n'));
    expect(server.log.closes).toEqual([]);
  });

  it('counts in the budget the chunks that wait for it', () => {
    const peer = new Borrowed();
    const one = given();
    const late = new Subject<Uint8Array>();
    const atEach: [number, number][] = [];
    const note = () => atEach.push([peer.control.buffered, peer.control.holders]);
    const seen = watch(peer.pipe(() => late.asObservable(), one.operator, text, tap(note)));
    one.control.pause();
    late.next(bytes('abc'));
    late.next(bytes('de'));
    expect([peer.control.buffered, peer.control.holders, ...seen.values]).toEqual([5, 1]);
    one.control.resume();
    // A chunk counts until the operator has emitted it.
    expect(atEach).toEqual([
      [5, 1],
      [2, 1],
    ]);
    expect([peer.control.buffered, peer.control.holders, ...seen.values]).toEqual([0, 0, 'abc', 'de']);
    one.control.pause();
    late.next(bytes('f'));
    expect(peer.control.buffered).toBe(1);
    late.error(fault);
    expect([peer.control.buffered, peer.control.holders]).toEqual([0, 0]);
  });
});

describe.each<[string, (connection: Connection) => Observable<Uint8Array>]>([
  ['in place', (connection) => connection],
  ['behind a plain operator', (connection) => connection.pipe(plain)],
])('an operator with a resume or a drain of its own, %s', (_, read) => {
  it('is resumed', () => {
    const calls: string[] = [];
    run({}, ({ connection, client, at }) => {
      const operator = operateBytes((sink, control) => {
        at(1, () => control.pause());
        at(2, () => control.resume());
        return {
          resume() {
            calls.push('resume');
            sink.resume?.();
          },
        };
      });
      read(connection)
        .pipe(operator, lines())
        .subscribe((line) => calls.push(line));
      at(3, () => client.write('a\n').end());
    });
    expect(calls).toEqual(['resume', 'a']);
  });

  it('is resumed after what is behind it, which needs no help of it', async () => {
    const held: string[] = [];
    const slow = (line: string, connection: Connection) => of(`${line}\n`).pipe(delay(10, clockOf(connection)));
    const server = await TestServer.open((connection) => {
      const operator = operateBytes((sink, control) => {
        const kept: Uint8Array[] = [];
        const emit = () => {
          for (let chunk = kept.shift(); chunk !== undefined; chunk = kept.shift()) {
            sink.next(chunk);
            if (control.isPaused) return;
          }
        };
        return {
          next(chunk) {
            for (const piece of `${chunk}`.match(/.\n/g) ?? []) kept.push(bytes(piece));
            emit();
            held.push(kept.join(''));
          },
          resume: emit,
        };
      });
      return exchange(() => read(connection).pipe(operator, lines()), slow)(connection);
    });
    const client = await server.connect();
    client.write('a\nb\nc\n').end();
    await server.clock.advance(50);
    expect([held, client.text, server.log.closes]).toEqual([['b\nc\n'], 'a\nb\nc\n', ['ended']]);
  });

  /** Sends a text, begins a drain, and sends a FIN. Returns what came back, and the close reasons. */
  async function drain(server: TestServer): Promise<[text: string, closes: readonly unknown[]]> {
    const client = await server.connect();
    client.write('first ');
    await server.clock.settle();
    await server.signal();
    client.end();
    await server.clock.settle();
    return [client.text, server.log.closes];
  }

  it('may pass a drain on whatever is behind it', async () => {
    const last = operateBytes((sink) => ({
      drain() {
        sink.next(bytes('last'));
        sink.drain();
      },
    }));
    const behind: MonoTypeOperatorFunction<Uint8Array>[] = [plain, pipe(passing(), plain), pipe(passing())];
    for (const operators of behind) {
      const server = await TestServer.open((connection) => read(connection).pipe(last, operators));
      expect(await drain(server)).toEqual(['first last', ['drained']]);
    }
  });

  it('decides where the input ends, if it has a drain', async () => {
    const server = await TestServer.open((connection) => {
      const operator = operateBytes((sink) => ({
        drain() {
          sink.next(bytes('last'));
          sink.complete();
        },
      }));
      return read(connection).pipe(operator);
    });
    expect(await drain(server)).toEqual(['first last', ['drained']]);
  });

  it('leaves that decision to a framing operator in front of it, if it has no drain', async () => {
    const server = await TestServer.open((connection) =>
      read(connection).pipe(
        lengthPrefixed({ size: 1 }),
        operateBytes((sink) => ({ resume: () => sink.resume?.() })),
      ),
    );
    const client = await server.connect();
    client.write(Buffer.from([2, 65]));
    await server.clock.settle();
    await server.signal();
    expect(client.ended).toBe(false);
    client.write('B');
    await server.clock.settle();
    expect([client.text, client.ended]).toEqual(['AB', true]);
  });

  it('leaves that decision to a framing operator behind it, if it has no drain', async () => {
    const server = await TestServer.open((connection) =>
      read(connection).pipe(
        operateBytes((sink) => ({ resume: () => sink.resume?.() })),
        lines(),
        ignoreElements(),
      ),
    );
    const client = await server.connect();
    client.write('ha');
    await server.clock.settle();
    await server.signal();
    expect(client.ended).toBe(false);
    client.write('lf\n');
    await server.clock.settle();
    expect(client.ended).toBe(true);
  });
});

it('makes bytes that the operators behind it read in place', () => {
  expect(new Borrowed().pipe(passing())).toBeInstanceOf(LiftedBytes);
});
