// The time in which a handler works on a request does not count against the peer: no deadline of the peer passes in it.
import { firstValueFrom, map, mergeMap, NEVER, Observable, of, pipe, timer } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { PauseCause } from '../../lib/connection/pauses.ts';
import { idle } from '../../lib/deadline/idle.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { type ExchangeOptions, exchange, type Reply } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { clockOf } from '../support/internals.ts';
import { noteEnd, run } from '../support/peers.ts';
import { TestServer } from '../support/testServer.ts';

const endless = Number.POSITIVE_INFINITY;

/** A reply that takes some milliseconds of the connection's clock, and consists of their number. */
const work = (ms: number, connection: Connection): Observable<string> =>
  timer(ms, clockOf(connection)).pipe(map(() => `${ms}\n`));
const promised = (ms: number, connection: Connection): Promise<string> => firstValueFrom(work(ms, connection));
const msOf = (line: string) => Number(line);

const handlers: [name: string, handler: Handler][] = [
  ['an exchange with promises', exchange(lines(), (line, connection) => promised(msOf(line), connection))],
  ['an exchange with Observables', exchange(lines(), (line, connection) => work(msOf(line), connection))],
  [
    'an exchange with generators',
    exchange(lines(), async function* (line, connection) {
      yield await promised(msOf(line), connection);
    }),
  ],
  [
    'an exchange of several requests at once',
    exchange(lines(), (line, connection) => promised(msOf(line), connection), { concurrency: 8 }),
  ],
  [
    'a generator that loops over the frames',
    async function* (connection) {
      for await (const line of connection.pipe(lines())) yield await promised(msOf(line), connection);
    },
  ],
  [
    'an async function that loops over the frames',
    async (connection) => {
      for await (const line of connection.pipe(lines())) await connection.write(await promised(msOf(line), connection));
    },
  ],
  [
    'an exchange whose frames pass the idle operator',
    exchange(pipe(lines(), idle(1000)), (line, connection) => promised(msOf(line), connection)),
  ],
  [
    'an exchange whose bytes pass the idle operator',
    exchange(pipe(idle(1000), lines()), (line, connection) => promised(msOf(line), connection)),
  ],
];

describe.each(handlers)('%s', (name, handler) => {
  const options = { idle: name.endsWith('operator') ? endless : 1000, reply: endless };
  const closes = (server: TestServer) =>
    server.log.of('closed').map(({ reason, deadline, duration }) => [reason, deadline, duration]);

  it('starts the idle deadline when its work is done', async () => {
    const server = await TestServer.open(handler, options);
    const client = await server.connect();
    client.write('5000\n');
    await server.clock.advance(5000);
    expect(client.text).toBe('5000\n');
    await server.clock.advance(999);
    expect(closes(server)).toEqual([]);
    await server.clock.advance(1);
    client.end();
    await server.clock.settle();
    expect(closes(server)).toEqual([['deadline', 'idle', 6000]]);
  });

  it('answers several requests, although their work together is longer than the idle deadline', async () => {
    const server = await TestServer.open(handler, options);
    const client = await server.connect();
    client.write('3000\n4000\n').write('2000\n');
    await server.clock.advance(4900);
    expect(closes(server)).toEqual([]);
    await server.clock.advance(4100);
    expect(client.text).toBe('3000\n4000\n2000\n');
  });

  it('answers the requests of a peer that has sent its FIN', async () => {
    const server = await TestServer.open(handler, options);
    const client = await server.connect();
    client.write('3000\n4000\n').end();
    await server.clock.advance(7000);
    expect(client.text).toBe('3000\n4000\n');
    expect(closes(server).map(([reason]) => reason)).toEqual(['ended']);
  });

  it('misses the idle deadline when the peer sends no further request', async () => {
    const server = await TestServer.open(handler, options);
    const client = await server.connect();
    client.write('0\n');
    await server.clock.advance(1000);
    client.end();
    await server.clock.settle();
    expect(closes(server)).toEqual([['deadline', 'idle', 1000]]);
  });

  it('is aborted at the grace of a drain while it works', async () => {
    const server = await TestServer.open(handler, { ...options, grace: 2000 });
    const client = await server.connect();
    client.write('100000\n');
    await server.clock.advance(10);
    await server.signal();
    await server.clock.advance(2000);
    expect(closes(server).map(([reason]) => reason)).toEqual(['aborted']);
    expect(server.log.completed).toBe(true);
    expect(server.log.of('drained')).toMatchObject([{ aborted: 1 }]);
  });
});

describe('a peer', () => {
  it('is not idle while a generator that does not read produces its next value', async () => {
    const server = await TestServer.open(
      async function* (connection) {
        yield await promised(5000, connection);
        yield await promised(5000, connection);
      },
      { idle: 1000, greeting: endless },
    );
    const client = await server.connect();
    await server.clock.advance(10_000);
    expect(client.text).toBe('5000\n5000\n');
    expect(server.log.closes).toEqual([]);
  });

  it('is not idle while a loop works on values that an operator in front of it has buffered', async () => {
    const server = await TestServer.open(
      async (connection) => {
        const requests = connection.pipe(
          lines(),
          mergeMap((line) => line.split(' ')),
        );
        for await (const request of requests) await connection.write(await promised(msOf(request), connection));
      },
      { idle: 1000 },
    );
    const client = await server.connect();
    client.write('3000 4000 5000\n').end();
    await server.clock.advance(12_000);
    expect(client.text).toBe('3000\n4000\n5000\n');
    expect(server.log.closes).toEqual(['ended']);
  });

  it('is idle while the inner source of mergeMap runs, because that work is not visible to the connection', async () => {
    const server = await TestServer.open(
      (connection) =>
        connection.pipe(
          lines(),
          mergeMap((line) => promised(msOf(line), connection)),
        ),
      { idle: 1000 },
    );
    const client = await server.connect();
    client.write('5000\n');
    await server.clock.advance(1000);
    client.end();
    await server.clock.settle();
    expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'idle' }]);
  });

  it.each([
    ['the budget', PauseCause.budget],
    ['the handler', PauseCause.handler],
    ['a yield to other connections', PauseCause.yield],
  ])('is not idle while %s pauses its input', (_what, cause) => {
    const { notes } = run({}, ({ connection, at, note }) => {
      connection.watchdog.guard({ idle: 50, greeting: endless, frame: endless, reply: endless, grace: 100 });
      connection.subscribe(noteEnd(note));
      at(10, () => connection.control.pause(cause));
      at(200, () => connection.control.resume(cause));
    });
    expect(notes[0]).toBe('250 Cannot wait longer: the idle deadline of 50 ms is over');
  });

  it('is idle while it does not read the output', () => {
    const { notes } = run({ stall: endless, highWaterMark: 1, window: 5 }, ({ connection, client, note }) => {
      connection.watchdog.guard({ idle: 50, greeting: endless, frame: endless, reply: endless, grace: 100 });
      client.pause().write('a\n');
      exchange(lines(), () => ['0123456789', 'more', 'more'])(connection)
        .pipe(connection.send())
        .subscribe(noteEnd(note));
    });
    expect(notes[0]).toBe('50 Cannot wait longer: the idle deadline of 50 ms is over');
  });
});

describe('an incomplete frame', () => {
  const half = (cause: number, from: number, to: number) =>
    run({}, ({ connection, client, at, note }) => {
      connection.watchdog.guard({ idle: endless, greeting: endless, frame: 50, reply: endless, grace: 100 });
      client.write('half');
      connection.pipe(lines()).subscribe(noteEnd(note));
      at(from, () => connection.control.pause(cause));
      at(to, () => connection.control.resume(cause));
    }).notes[0];

  it('has its whole deadline, not counting pauses by the handler or the peer', () => {
    expect(half(PauseCause.handler, 10, 49)).toBe('89 Cannot wait longer: the frame deadline of 50 ms is over');
    expect(half(PauseCause.peer, 10, 500)).toBe('540 Cannot wait longer: the frame deadline of 50 ms is over');
  });

  it('misses its deadline while the budget pauses its input', () => {
    expect(half(PauseCause.budget, 10, 500)).toBe('50 Cannot wait longer: the frame deadline of 50 ms is over');
  });
});

describe('the reply deadline', () => {
  const open = async (
    project: (request: string, connection: Connection) => Reply,
    { serve = {}, ...options }: ExchangeOptions<string> & { readonly serve?: ServeOptions } = {},
  ) => {
    const server = await TestServer.open(exchange(lines(), project, options), { idle: 1000, ...serve });
    const client = await server.connect();
    return { server, client };
  };
  const slow = (line: string, connection: Connection) => work(msOf(line), connection);

  it('closes a connection as failed, with a DeadlineError, and unsubscribes from the reply', async () => {
    let unsubscribed = 0;
    const { server, client } = await open(() => new Observable(() => () => unsubscribed++), { timeout: 5000 });
    client.write('a\n');
    await server.clock.advance(4999);
    expect(server.log.types).toEqual(['listening', 'opened']);
    await server.clock.advance(1);
    client.end();
    await server.clock.settle();
    const error = new DeadlineError('reply', 5000);
    expect(server.log.of('failed')).toMatchObject([{ id: 1, error }]);
    expect(server.log.of('closed')).toMatchObject([{ reason: 'failed', deadline: 'reply', error, duration: 5000 }]);
    expect(unsubscribed).toBe(1);
    expect(server.clock.actions).toEqual([]);
  });

  it('is a minute in a server by default, else the option `reply`', async () => {
    for (const [reply, after] of [
      [undefined, 60_000],
      [5000, 5000],
    ] as const) {
      const { server, client } = await open(() => NEVER, { serve: reply === undefined ? {} : { reply } });
      client.write('a\n');
      await server.clock.advance(after - 1);
      expect(server.log.of('failed')).toEqual([]);
      await server.clock.advance(1);
      expect(server.log.of('failed')).toMatchObject([{ error: { deadline: 'reply', after } }]);
    }
  });

  it('can be infinite', async () => {
    const { server, client } = await open(slow, { timeout: endless });
    client.write('10000000\n');
    await server.clock.advance(10_000_000);
    expect(client.text).toBe('10000000\n');
  });

  it('is infinite for a connection that `serve` does not serve', () => {
    const { notes } = run({}, ({ connection, client, note }) => {
      client.write('10000000\n').end();
      exchange(lines(), slow)(connection).pipe(connection.send()).subscribe(noteEnd(note));
    });
    expect(notes).toEqual(['10000000 complete', '10000000 ended 9 0']);
  });

  it('can be answered by onError, and the next requests are answered', async () => {
    const onError = (error: unknown, line: string) => `${line} ${(error as DeadlineError).deadline}\n`;
    const { server, client } = await open(slow, { timeout: 2000, onError });
    client.write('9000\n1500\n9000\n');
    await server.clock.advance(6000);
    expect(client.text).toBe('9000 reply\n1500\n9000 reply\n');
    expect(server.log.of('failed')).toEqual([]);
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['ended']);
  });

  it('applies to the reply of onError as well, and that one fails the connection', async () => {
    const { server, client } = await open(() => NEVER, { timeout: 2000, onError: () => NEVER });
    client.write('a\n');
    await server.clock.advance(3999);
    expect(server.log.of('failed')).toEqual([]);
    await server.clock.advance(1);
    expect(server.log.of('failed')).toMatchObject([{ error: { deadline: 'reply' } }]);
  });

  it('fails the connection after the replies before it are sent', async () => {
    const { server, client } = await open((line, connection) => (line === 'never' ? NEVER : slow(line, connection)), {
      concurrency: 3,
      timeout: 2000,
    });
    client.write('1900\n');
    await server.clock.advance(100);
    client.write('never\n');
    await server.clock.advance(1800);
    expect(client.text).toBe('1900\n');
    expect(server.log.of('failed')).toEqual([]);
    await server.clock.advance(200);
    expect(server.log.of('failed')).toMatchObject([{ error: { deadline: 'reply' } }]);
  });

  it('calls onError once for each of several requests that are late at the same time', async () => {
    const errors: string[] = [];
    const onError = (error: unknown, line: string) => {
      errors.push(`${line} ${(error as DeadlineError).deadline}`);
      return `${line}\n`;
    };
    const { server, client } = await open(() => NEVER, { concurrency: 3, timeout: 2000, onError });
    client.write('a\nb\nc\n');
    await server.clock.advance(2000);
    expect(errors).toEqual(['a reply', 'b reply', 'c reply']);
    expect(client.text).toBe('a\nb\nc\n');
  });

  it('calls onError for no further late request after one has ended the connection', async () => {
    const errors: string[] = [];
    let connection: Connection | undefined;
    const onError = (_error: unknown, line: string) => {
      errors.push(line);
      connection?.end();
      return undefined;
    };
    const { server, client } = await open(
      (_line, from) => {
        connection = from;
        return NEVER;
      },
      { concurrency: 3, timeout: 2000, onError },
    );
    client.write('a\nb\nc\n');
    await server.clock.advance(2000);
    client.end();
    await server.clock.settle();
    expect(errors).toEqual(['a']);
    expect(server.log.closes).toEqual(['completed']);
  });

  it('stops while a generator waits for the peer, and then continues with the time that is left', async () => {
    const { server, client } = await open(
      async function* (_line, connection) {
        yield await promised(1500, connection);
        yield 'x'.repeat(200_000);
        yield await promised(400, connection);
        yield await promised(400, connection);
      },
      { timeout: 2000, serve: { stall: endless, idle: endless } },
    );
    client.pause().write('a\n');
    await server.clock.advance(1_000_000);
    expect(server.log.of('failed')).toEqual([]);
    client.resume();
    await server.clock.advance(499);
    expect(client.text.endsWith('400\n')).toBe(true);
    expect(server.log.of('failed')).toEqual([]);
    await server.clock.advance(1);
    expect(server.log.of('failed')).toMatchObject([{ error: { deadline: 'reply' } }]);
  });

  it('uses one timer, however many requests are in progress', async () => {
    const { server, client } = await open(() => NEVER, { concurrency: 1000, serve: { idle: endless } });
    const before = server.clock.actions.length;
    client.write('a\n'.repeat(500));
    await server.clock.settle();
    expect(server.clock.actions.length - before).toBeLessThanOrEqual(1);
    client.break();
    await server.clock.settle();
    expect(server.clock.actions).toEqual([]);
  });

  it('uses no timer for replies that are given at once', async () => {
    const { server, client } = await open((line) => line, { serve: { idle: endless, greeting: endless } });
    client.write('a\nb\n');
    await server.clock.settle();
    expect(server.clock.actions).toEqual([]);
  });

  it.each([0, -1, Number.NaN])('throws a RangeError on call for %s ms', (timeout) => {
    expect(() => exchange(lines(), () => of('a'), { timeout })).toThrow(RangeError);
  });

  it('throws a TypeError on call for a value that is not a number', () => {
    expect(() => exchange(lines(), () => of('a'), { timeout: '5' as never })).toThrow(TypeError);
  });
});
