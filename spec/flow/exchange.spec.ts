import {
  concat,
  defer,
  endWith,
  finalize,
  firstValueFrom,
  map,
  mergeMap,
  NEVER,
  Observable,
  of,
  type SchedulerLike,
  Subject,
  throwError,
  timer,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { MemoryBudget } from '../../lib/connection/memoryBudget.ts';
import { FrameTooLongError } from '../../lib/errors.ts';
import { exchange, type Reply } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { clockOf, internalsOf } from '../support/internals.ts';
import { noteEnd, run } from '../support/peers.ts';
import { talk } from '../support/talk.ts';
import { TestServer } from '../support/testServer.ts';

/** Each kind of reply; all of them answer a request with the same bytes. */
const kinds: [string, (line: string, connection: Connection) => Reply][] = [
  ['a string', (line) => `${line}1${line}2`],
  ['bytes', (line) => Buffer.from(`${line}1${line}2`)],
  ['a promise', async (line) => `${line}1${line}2`],
  ['an Observable of pieces', (line) => of(`${line}1`, Buffer.from(`${line}2`))],
  [
    'an Observable whose pieces come later',
    (line, connection) => timer(0, 10, clockOf(connection)).pipe(map((n) => (n < 2 ? `${line}${n + 1}` : end()))),
  ],
  ['an array', (line) => [`${line}1`, undefined, `${line}2`]],
  [
    'a generator',
    function* (line) {
      yield `${line}1`;
      yield Buffer.from(`${line}2`);
    },
  ],
  [
    'an async generator',
    async function* (line) {
      yield `${line}1`;
      await Promise.resolve();
      yield Buffer.from(`${line}2`);
    },
  ],
];

const end = (): never => {
  throw new Error('the end');
};

describe.each(kinds)('exchange with %s as a reply', (_kind, project) => {
  it.each([1, 2, 3, 10])('answers each request in order at a concurrency of %i', async (concurrency) => {
    const options = { concurrency, onError: () => undefined };
    const at = await talk(exchange(lines(), project, options));
    at.client.write('a\nb\nc').write('\nd\n').end();
    await at.clock.advance(1000);
    expect(at.client.text).toBe('a1a2b1b2c1c2d1d2');
    expect([at.completed, at.fault, at.owner.ends.map(({ reason }) => reason)]).toEqual([true, undefined, ['ended']]);
  });
});

describe('exchange', () => {
  it('begins at most `concurrency` requests at once, reads no further, and answers in order', () => {
    const begun: string[] = [];
    const { notes, made } = run({}, ({ connection, client, flow, at, note }) => {
      const project = (line: string) => {
        begun.push(line);
        // Later requests are answered sooner.
        return timer(100 - 10 * begun.length).pipe(map(() => `${line};`));
      };
      exchange(lines(), project, { concurrency: 2 })(connection).pipe(connection.send()).subscribe(noteEnd(note));
      client.write('a\nb\nc\n').write('d\n').write('e\n');
      at(1, () => note(`${begun} ${flow}`));
      at(85, () => note(`${begun}, sent ${client.text}`));
      at(95, () => note(`${begun}, sent ${client.text}`));
      at(400, () => client.end());
    });
    // Two lines were in progress and one was queued behind them. The socket was paused, because one read was kept already.
    expect(notes).toEqual([
      '1 a,b resume,pause',
      '85 a,b, sent ',
      '95 a,b,c,d, sent a;b;',
      '400 complete',
      '400 ended 10 0',
    ]);
    expect(made.client.text).toBe('a;b;c;d;e;');
  });

  it('answers each request as it is ready when `ordered` is false', async () => {
    const ready = new Map<string, Subject<string>>();
    const project = (line: string) => {
      const reply = new Subject<string>();
      ready.set(line, reply);
      return reply;
    };
    const { client, clock } = await talk(exchange(lines(), project, { concurrency: 3, ordered: false }));
    client.write('a\nb\nc\nd\n').end();
    await clock.settle();
    expect([...ready.keys()]).toEqual(['a', 'b', 'c']);
    for (const line of ['c', 'a']) {
      ready.get(line)?.next(`${line};`);
      ready.get(line)?.complete();
    }
    await clock.settle();
    expect([...ready.keys()]).toEqual(['a', 'b', 'c', 'd']);
    for (const line of ['d', 'b']) {
      ready.get(line)?.next(`${line};`);
      ready.get(line)?.complete();
    }
    await clock.settle();
    expect([client.text, client.ended]).toEqual(['c;a;d;b;', true]);
  });

  it('also pauses the input while quick replies wait for a slow one', async () => {
    const slow = new Subject<string>();
    let begun = 0;
    const project = (line: string) => {
      begun++;
      return line === 'slow' ? slow : `${line};`;
    };
    const { client, clock, connection } = await talk(exchange(lines(), project, { concurrency: 3 }));
    client.write(`slow\n${'a\n'.repeat(10_000)}`);
    await clock.settle();
    expect([begun, internalsOf(connection).control.isPaused]).toEqual([3, true]);
    for (let more = 0; more < 20; more++) client.write('b\n'.repeat(1000));
    await clock.settle();
    expect(connection.bytesIn).toBeLessThan(30_000);
    slow.next('slow;');
    slow.complete();
    client.end();
    await clock.advance(10);
    expect(client.text).toBe(`slow;${'a;'.repeat(10_000)}${'b;'.repeat(20_000)}`);
  });

  it('pulls no more than `highWaterMark` from a generator behind another reply', async () => {
    const slow = new Subject<string>();
    let asked = 0;
    let ended = false;
    function* endless() {
      try {
        for (;;) {
          asked++;
          yield 'x'.repeat(100);
        }
      } finally {
        ended = true;
      }
    }
    const replies = exchange(lines(), (line) => (line === 'slow' ? slow : endless()), { concurrency: 2 });
    const { client, clock, connection } = await talk(replies, { highWaterMark: 1000, window: 5000 });
    client.pause().write('slow\nendless\n');
    await clock.settle();
    expect(asked).toBe(11);
    slow.complete();
    await clock.settle();
    expect(asked).toBeGreaterThan(50);
    expect(connection.unsent).toBeLessThan(1200 + 64 * 1024);
    const before = asked;
    await clock.settle();
    expect(asked).toBe(before);
    client.break();
    await clock.settle();
    expect(ended).toBe(true);
  });

  it('fails a reply behind another one that queues more than `maxOutbound` and cannot be paused', async () => {
    const hot = new Subject<string>();
    const slow = new Subject<string>();
    const replies = exchange(lines(), (line) => (line === 'slow' ? slow : hot), { concurrency: 2 });
    const { client, clock, owner, network } = await talk(replies, { maxOutbound: 1000 });
    client.write('slow\nhot\n');
    await clock.settle();
    for (let i = 0; i < 11; i++) hot.next('x'.repeat(100));
    expect(hot.observed).toBe(false);
    slow.next('slow;');
    slow.complete();
    client.end();
    await clock.settle();
    expect(client.text).toBe(`slow;${'x'.repeat(1000)}`);
    expect(owner.ends).toMatchObject([{ reason: 'failed', error: expect.any(RangeError) }]);
    expect(network.sockets.size).toBe(0);
  });

  it.each([
    ['a promise', true],
    ['a promise', false],
    ['an Observable', true],
    ['an Observable', false],
  ])('sends replies that are ready at the same time as there is room: %s, ordered: %s', async (kind, ordered) => {
    const project = (line: string, connection: Connection) => {
      const clock = clockOf(connection);
      const reply = timer(line === '1' ? 20 : 10, clock).pipe(map(() => line.repeat(20)));
      return kind === 'a promise' ? firstValueFrom(reply) : reply;
    };
    const server = await TestServer.open(exchange(lines(), project, { concurrency: 8, ordered }), {
      highWaterMark: 10,
      maxOutbound: 50,
    });
    const client = await server.connect({ window: 5 });
    client.pause().write('1\n2\n3\n4\n5\n6\n7\n8\n9\n').end();
    await server.clock.advance(50);
    client.resume();
    await server.clock.advance(50);
    expect(server.log.of('closed')).toMatchObject([{ reason: 'ended', unsent: 0 }]);
    const replies = client.text.match(/(.)\1{19}/g) ?? [];
    expect(client.text).toBe(replies.join(''));
    expect(replies.length).toBe(9);
    if (ordered) expect([...replies].sort()).toEqual(replies);
  });

  it('applies the overrun policy of the connection to a reply that continues while the peer reads nothing', async () => {
    for (const overrun of ['disconnect', 'drop-newest'] as const) {
      const hot = new Subject<string>();
      const server = await TestServer.open(
        exchange(lines(), () => hot),
        { highWaterMark: 10, maxOutbound: 50, overrun },
      );
      const client = await server.connect({ window: 5 });
      client.pause().write('hot\n');
      await server.clock.settle();
      for (let i = 0; i < 20; i++) {
        hot.next(String(i).padStart(10, '.'));
        await server.clock.settle();
      }
      expect(hot.observed).toBe(overrun !== 'disconnect');
      const reasons = server.log.of('closed').map(({ reason }) => reason);
      expect(reasons).toEqual(overrun === 'disconnect' ? ['slow-consumer'] : []);
      client.resume();
      await server.clock.settle();
      expect(client.text.startsWith('.........0.........1.........2')).toBe(overrun !== 'disconnect');
      server.log.subscription?.unsubscribe();
    }
  });

  it('completes when the requests have completed and all are answered', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      const replies = exchange(lines(), (line) => timer(20).pipe(map(() => line)));
      replies(connection).pipe(connection.send()).subscribe(noteEnd(note));
      client.write('a\n').end();
      at(1, () => note('FIN'));
    });
    expect(notes).toEqual(['1 FIN', '20 complete', '20 ended 1 0']);
  });

  it('answers a million requests that are answered at once without nesting their calls', async () => {
    // The wrapper hides the connection from the framing operator: all requests arrive although the input is paused.
    const decode = (bytes: Observable<Uint8Array>) =>
      new Observable<Uint8Array>((to) => bytes.subscribe(to)).pipe(lines());
    const first = new Subject<string>();
    let count = 0;
    const project = () => (count++ === 0 ? first : 'x');
    const { client, clock } = await talk(exchange(decode, project), { highWaterMark: Number.POSITIVE_INFINITY });
    client.write('\n'.repeat(1_000_000));
    await clock.settle();
    expect(count).toBe(1);
    first.complete();
    client.end();
    await clock.settle();
    expect(count).toBe(1_000_000);
    expect(client.bytes.length).toBe(999_999);
  });

  describe('a request that fails', () => {
    const failures: [string, (clock: SchedulerLike) => Reply][] = [
      [
        'throws',
        () => {
          throw new Error('no');
        },
      ],
      ['rejects', () => Promise.reject(new Error('no'))],
      ['errors', () => throwError(() => new Error('no'))],
      [
        'errors later',
        (clock) =>
          concat(
            timer(5, clock).pipe(map(() => undefined)),
            throwError(() => new Error('no')),
          ),
      ],
      [
        'throws in a generator',
        // biome-ignore lint/correctness/useYield: it fails before the first
        function* () {
          throw new Error('no');
        },
      ],
      [
        'rejects in an async generator',
        // biome-ignore lint/correctness/useYield: it fails before the first
        async function* () {
          throw new Error('no');
        },
      ],
      ['is not an ObservableInput', () => 5 as unknown as Reply],
    ];

    it.each(failures)('ends its connection after the replies before it: %s', async (_how, fails) => {
      const begun: string[] = [];
      const project = (line: string, connection: Connection) => {
        const clock = clockOf(connection);
        begun.push(line);
        return line === 'bad' ? fails(clock) : timer(10, clock).pipe(map(() => `${line};`));
      };
      const { client, clock, owner, network } = await talk(exchange(lines(), project, { concurrency: 3 }));
      client.write('a\nb\nbad\nc\nd\n').end();
      await clock.advance(100);
      expect(client.text).toBe('a;b;');
      expect(begun.filter((line) => line === 'd')).toEqual([]);
      expect(owner.ends).toMatchObject([{ reason: 'failed', error: expect.any(Error) }]);
      expect(network.sockets.size).toBe(0);
    });

    it.each(failures)('is answered by `onError`, and the next requests are answered: %s', async (_how, fails) => {
      const project = (line: string, connection: Connection) =>
        line === 'bad' ? fails(clockOf(connection)) : `${line};`;
      const onError = (error: unknown, line: string) => of(`ERR ${error instanceof Error} `, `${line};`);
      const { client, clock, owner } = await talk(exchange(lines(), project, { onError }));
      client.write('a\nbad\nb\nbad\n').end();
      await clock.advance(100);
      expect(client.text).toBe('a;ERR true bad;b;ERR true bad;');
      expect(owner.ends).toMatchObject([{ reason: 'ended' }]);
    });

    it.each<[string, () => Reply]>([
      [
        'throws',
        () => {
          throw new Error('worse');
        },
      ],
      ['errors', () => throwError(() => new Error('worse'))],
      ['rejects', () => Promise.reject(new Error('worse'))],
    ])('ends its connection with the error of an `onError` that %s, which is called once', async (_how, worse) => {
      let asked = 0;
      const onError = () => {
        asked++;
        return worse();
      };
      const { client, clock, owner } = await talk(
        exchange(lines(), () => throwError(() => new Error('bad')), { onError }),
      );
      client.write('a\nb\n').end();
      await clock.settle();
      expect(asked).toBe(1);
      expect(owner.ends).toMatchObject([{ reason: 'failed', error: { message: 'worse' } }]);
    });

    it.each<[string, () => unknown]>([
      ['a promise of null', async () => null],
      ['an Observable of numbers', () => of(1, 2)],
    ])('is one whose reply is neither a string nor bytes, also behind another reply: %s', async (_what, reply) => {
      const budget = new MemoryBudget(1000);
      const first = new Subject<string>();
      const project = (line: string) => (line === 'a' ? first : (reply() as Reply));
      const talks = await Promise.all([
        talk(exchange(lines(), project, { concurrency: 3 }), { budget }),
        talk(exchange(lines(), project, { concurrency: 3, onError: String }), { budget }),
      ]);
      for (const { client, clock } of talks) {
        client.write('a\nb\n');
        await clock.settle();
      }
      first.next('a;');
      first.complete();
      for (const { clock } of talks) await clock.settle();
      expect(budget.total).toBe(0);
      expect(talks.map(({ client }) => client.text)).toEqual([
        'a;',
        expect.stringMatching(/^a;TypeError: Cannot send .*: it is neither a string nor a Uint8Array$/),
      ]);
      expect(talks.map(({ fault }) => fault)).toEqual([expect.any(TypeError), undefined]);
    });

    it('sends first what another request has queued when `ordered` is false', async () => {
      const large = new Subject<string>();
      const failing = new Subject<string>();
      const project = (line: string) => (line === 'a' ? large : failing);
      const handler = exchange(lines(), project, { concurrency: 2, ordered: false });
      const { client, clock, owner } = await talk(handler, { window: 10, highWaterMark: 5, linger: 1000 });
      client.pause().write('a\nb\n');
      await clock.settle();
      large.next('x'.repeat(20));
      await clock.settle();
      for (const piece of ['queued', ' too']) large.next(piece);
      failing.error(new Error('no'));
      client.resume();
      await clock.settle();
      expect(client.text).toBe(`${'x'.repeat(20)}queued too`);
      client.end();
      await clock.settle();
      expect(owner.ends).toMatchObject([{ reason: 'failed' }]);
    });

    it('ends its connection at once when `ordered` is false', async () => {
      const project = (line: string) => (line === 'bad' ? throwError(() => new Error('no')) : NEVER);
      const { client, clock, owner } = await talk(exchange(lines(), project, { concurrency: 3, ordered: false }));
      client.write('a\nbad\n').end();
      await clock.settle();
      expect(owner.ends).toMatchObject([{ reason: 'failed' }]);
    });
  });

  it('answers the requests before an invalid frame, and closes for that', async () => {
    const replies = exchange(lines({ maxLength: 5 }), (line, connection) =>
      timer(10, clockOf(connection)).pipe(map(() => `${line};`)),
    );
    const at = await talk(replies);
    at.client.write('a\nbbbbbbbbb\n').end();
    await at.clock.advance(100);
    expect(at.client.text).toBe('a;');
    expect(at.fault).toEqual(new FrameTooLongError(5, 6));
    expect(at.owner.ends).toMatchObject([{ reason: 'frame-too-long' }]);
  });

  it('answers each request that a source emits while the input is paused, in order and as many at once as may be', async () => {
    let inProgress = 0;
    let most = 0;
    const project = (line: string, connection: Connection) =>
      defer(() => {
        most = Math.max(most, ++inProgress);
        return timer(10, clockOf(connection)).pipe(map(() => `${line};`));
      }).pipe(finalize(() => inProgress--));
    const fourfold = (bytes: Observable<Uint8Array>) =>
      bytes.pipe(
        lines(),
        mergeMap((line) => [1, 2, 3, 4].map((n) => `${line}${n}`)),
      );
    const { client, clock, owner } = await talk(exchange(fourfold, project, { concurrency: 2 }));
    client.write('a\nb\n').end();
    await clock.advance(100);
    expect([client.text, most]).toEqual(['a1;a2;a3;a4;b1;b2;b3;b4;', 2]);
    expect(owner.ends).toMatchObject([{ reason: 'ended' }]);
  });

  it('answers the requests in progress in a drain, and begins no other', () => {
    const begun: string[] = [];
    const { notes, made } = run({}, ({ connection, client, at, note }) => {
      const project = (line: string) => {
        begun.push(line);
        return timer(20).pipe(map(() => `${line};`));
      };
      exchange(lines(), project, { concurrency: 2 })(connection).pipe(connection.send()).subscribe(noteEnd(note));
      client.write('a\nb\nc\n').write('d\n');
      at(10, () => connection.drain());
      at(30, () => client.end());
    });
    expect([begun, made.client.text]).toEqual([['a', 'b'], 'a;b;']);
    expect(notes).toEqual(['20 complete', '30 drained 4 0']);
  });

  it('begins no request in a drain that an operator with a buffer of frames had read already', async () => {
    const decode = (bytes: Observable<Uint8Array>) =>
      bytes.pipe(
        map((chunk) => Buffer.from(chunk).toString().split('\n')),
        (all) =>
          new Observable<string>((to) =>
            all.subscribe({ next: (some) => some.map((one) => to.next(one)), complete: () => to.complete() }),
          ),
      );
    const begun: string[] = [];
    const project = (line: string, connection: Connection) => {
      const clock = clockOf(connection);
      begun.push(line);
      return timer(20, clock).pipe(map(() => `${line};`));
    };
    const { client, clock, connection } = await talk(exchange(decode, project));
    client.write('a\nb\nc');
    await clock.advance(5);
    connection.drain();
    await clock.advance(100);
    expect([begun, client.text, client.ended]).toEqual([['a'], 'a;', true]);
  });

  it('keeps the order when a piece that had to wait causes the next one, or the end', async () => {
    const first = new Subject<string>();
    const second = new Subject<string>();
    const project = (line: string) => (line === 'a' ? first : line === 'b' ? second : line);
    const notes: unknown[] = [];
    const { client, clock } = await talk((connection) => {
      exchange(lines(), project, { concurrency: 3 })(connection).subscribe((piece) => {
        notes.push(piece);
        if (piece !== 'b1') return;
        second.next('b3');
        second.complete();
      });
      return NEVER;
    });
    client.write('a\nb\nc\n');
    await clock.settle();
    for (const piece of ['b1', 'b2']) second.next(piece);
    first.complete();
    await clock.settle();
    expect(notes).toEqual(['b1', 'b2', 'b3', 'c']);
  });

  it('unsubscribes all requests in progress as soon as the connection is reset, whatever a teardown throws', async () => {
    let running = 0;
    const project = (line: string) =>
      defer(() => {
        running++;
        return NEVER;
      }).pipe(
        finalize(() => {
          running--;
          if (line === 'bad') throw new Error('bad teardown');
        }),
      );
    const replies = exchange(lines(), project, { concurrency: 5 });
    const { client, clock } = await talk((connection) => replies(connection));
    client.write('a\nbad\nb\n');
    await clock.settle();
    expect(running).toBe(3);
    client.break();
    await clock.settle();
    expect(running).toBe(0);
  });

  it.each(['abort', 'end'] as const)('does no work on what `project` returns after it has called %s', async (how) => {
    const counts = { working: 0, asked: 0 };
    const replies: (() => Reply)[] = [
      () =>
        new Observable(() => {
          counts.working++;
          return () => counts.working--;
        }),
      async function* () {
        while (counts.asked < 10) yield String(counts.asked++);
      },
      () => Promise.reject(new Error('unsubscribed')),
    ];
    for (const reply of replies) {
      const project = (_line: string, connection: Connection) => {
        connection[how]();
        return reply();
      };
      const { client, clock } = await talk(exchange(lines(), project));
      client.write('a\n');
      await clock.advance(10);
      expect(client.over).toBe(true);
    }
    expect(counts).toEqual({ working: 0, asked: 0 });
  });

  describe.each([true, false])('what a teardown throws (ordered: %s)', (ordered) => {
    const crash = () => {
      throw new Error('in a teardown');
    };
    const guarded: typeof framed = (source) =>
      framed(source).pipe(
        finalize(crash),
        map((piece) => piece),
      );
    const framed = lines();
    const cases: [string, Parameters<typeof exchange<string>>[0], (reply: Observable<string>) => Reply][] = [
      [
        'when a reply is complete',
        framed,
        (reply) =>
          reply.pipe(
            finalize(crash),
            map((piece) => piece),
          ),
      ],
      [
        'when a reply fails',
        framed,
        (reply) =>
          reply.pipe(
            endWith(5 as never),
            finalize(crash),
            map((piece) => piece),
          ),
      ],
      ['when a failing request ends the requests', guarded, (reply) => reply.pipe(endWith(5 as never))],
    ];

    it.each(cases)(
      'fails its request after the replies before it, and no other request: %s',
      async (_when, decode, reply) => {
        const project = (line: string, connection: Connection) => {
          const clock = clockOf(connection);
          const answer = timer(line === 'a' ? 10 : 5, clock).pipe(map(() => `${line};`));
          return line === 'a' ? answer : reply(answer);
        };
        const { client, clock, owner } = await talk(exchange(decode, project, { concurrency: 3, ordered }));
        client.write('a\nb\n');
        await clock.advance(100);
        client.end();
        await clock.settle();
        expect(client.text).toBe(ordered ? 'a;b;' : 'b;');
        expect(owner.ends).toMatchObject([{ reason: 'failed', error: expect.any(Error) }]);
      },
    );
  });

  it.each([{}, { onError: String }])(
    'fails with what the teardown of a reply throws that has completed synchronously: %o',
    async (options) => {
      const reply = new Observable<string>((to) => {
        to.next('b;');
        to.complete();
        return () => {
          throw new Error('in a teardown');
        };
      });
      const { client, clock, owner } = await talk(exchange(lines(), () => reply, options));
      client.write('a\n');
      await clock.settle();
      client.end();
      await clock.settle();
      expect(client.text).toBe('b;');
      expect(owner.ends).toMatchObject([{ reason: 'failed', error: { message: 'in a teardown' } }]);
    },
  );

  it('counts the time for which it pauses the input as `handler`', () => {
    const { made } = run({}, ({ connection, client, at }) => {
      exchange(lines(), () => timer(30).pipe(map(() => undefined)))(connection)
        .pipe(connection.send())
        .subscribe(ignored);
      at(10, () => client.write('a\n'));
      at(100, () => client.end());
    });
    expect(made.owner.ends).toMatchObject([{ paused: { handler: 30, peer: 0, budget: 0 } }]);
  });

  it('is a handler with a limit for each connection of a server', async () => {
    let running = 0;
    let most = 0;
    const project = (line: string, connection: Connection) => {
      const clock = clockOf(connection);
      most = Math.max(most, ++running);
      return timer(10, clock).pipe(
        map(() => {
          running--;
          return `${line};`;
        }),
      );
    };
    const server = await TestServer.open(exchange(lines(), project, { concurrency: 2 }));
    const clients = await server.connectAll(3);
    for (const client of clients) client.write('a\nb\nc\nd\n').end();
    await server.clock.advance(100);
    expect(clients.map(({ text }) => text)).toEqual(['a;b;c;d;', 'a;b;c;d;', 'a;b;c;d;']);
    expect(most).toBe(6);
  });

  it.each([
    [{ concurrency: 0 }, RangeError],
    [{ concurrency: 1.5 }, RangeError],
    [{ ordered: 'yes' }, TypeError],
    [{ onError: 'ERR' }, TypeError],
    [{ limit: 5 }, TypeError],
  ])('throws for the options %o on call', (options, fault) => {
    expect(() => exchange(lines(), (line) => line, options as object)).toThrow(fault);
  });

  it('throws on call for a decoder or a project that is not a function', () => {
    const nothing = undefined as never;
    expect(() => exchange(lines(), nothing)).toThrow('Cannot exchange: project must be a function, not undefined');
    expect(() => exchange(nothing, String)).toThrow('Cannot exchange: decode must be a function, not undefined');
  });
});

const ignored = { error: () => undefined };
