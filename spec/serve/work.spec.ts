// What the time of our own work is for the deadlines: not the peer's, but the handler's.
import { firstValueFrom, map, mergeMap, NEVER, Observable, of, pipe, timer } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { PauseCause } from '../../lib/connection/pauses.ts';
import { idle } from '../../lib/deadline/idle.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { type ExchangeOptions, exchange, type Reply } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { House } from '../support/house.ts';
import { clockOf } from '../support/internals.ts';
import { heard, run } from '../support/peers.ts';

const endless = Number.POSITIVE_INFINITY;

/** Work on a request that takes some milliseconds of the connection's clock. */
const work = (ms: number, connection: Connection): Observable<string> =>
  timer(ms, clockOf(connection)).pipe(map(() => `${ms}\n`));
const promised = (ms: number, connection: Connection): Promise<string> => firstValueFrom(work(ms, connection));
const given = (line: string) => Number(line);

const handlers: [name: string, handler: Handler][] = [
  ['a promise of exchange', exchange(lines(), (line, connection) => promised(given(line), connection))],
  ['an Observable of exchange', exchange(lines(), (line, connection) => work(given(line), connection))],
  [
    'a generator of exchange',
    exchange(lines(), async function* (line, connection) {
      yield await promised(given(line), connection);
    }),
  ],
  [
    'an exchange of many requests at once',
    exchange(lines(), (line, connection) => promised(given(line), connection), { concurrency: 8 }),
  ],
  [
    'a generator that loops over the frames',
    async function* (connection) {
      for await (const line of connection.pipe(lines())) yield await promised(given(line), connection);
    },
  ],
  [
    'an async function that loops over the frames',
    async (connection) => {
      for await (const line of connection.pipe(lines()))
        await connection.write(await promised(given(line), connection));
    },
  ],
  [
    'an exchange of frames behind the operator',
    exchange(pipe(lines(), idle(1000)), (line, connection) => promised(given(line), connection)),
  ],
  [
    'an exchange behind the operator',
    exchange(pipe(idle(1000), lines()), (line, connection) => promised(given(line), connection)),
  ],
];

describe.each(handlers)('the work of %s', (name, handler) => {
  const options = { idle: name.endsWith('operator') ? endless : 1000, reply: endless };
  const closes = (house: House) =>
    house.log.of('closed').map(({ reason, deadline, duration }) => [reason, deadline, duration]);

  it('is no idleness of the peer, which begins when it is done', async () => {
    const house = await House.open(handler, options);
    const client = await house.connect();
    client.write('5000\n');
    await house.clock.advance(5000);
    expect(client.text).toBe('5000\n');
    await house.clock.advance(999);
    expect(closes(house)).toEqual([]);
    await house.clock.advance(1);
    client.end();
    await house.clock.settle();
    expect(closes(house)).toEqual([['deadline', 'idle', 6000]]);
  });

  it('is done for each of several requests, one after the other or together', async () => {
    const house = await House.open(handler, options);
    const client = await house.connect();
    client.write('3000\n4000\n').write('2000\n');
    await house.clock.advance(4900);
    expect(closes(house)).toEqual([]);
    await house.clock.advance(4100);
    expect(client.text).toBe('3000\n4000\n2000\n');
  });

  it('is done for a peer that has said its FIN', async () => {
    const house = await House.open(handler, options);
    const client = await house.connect();
    client.write('3000\n4000\n').end();
    await house.clock.advance(7000);
    expect(client.text).toBe('3000\n4000\n');
    expect(closes(house).map(([reason]) => reason)).toEqual(['ended']);
  });

  it('leaves a peer idle that asks nothing', async () => {
    const house = await House.open(handler, options);
    const client = await house.connect();
    client.write('0\n');
    await house.clock.advance(1000);
    client.end();
    await house.clock.settle();
    expect(closes(house)).toEqual([['deadline', 'idle', 1000]]);
  });

  it('is bounded by the grace of a drain', async () => {
    const house = await House.open(handler, { ...options, grace: 2000 });
    const client = await house.connect();
    client.write('100000\n');
    await house.clock.advance(10);
    await house.signal();
    await house.clock.advance(2000);
    expect(closes(house).map(([reason]) => reason)).toEqual(['aborted']);
    expect(house.log.completed).toBe(true);
    expect(house.log.of('drained')).toMatchObject([{ aborted: 1 }]);
  });
});

describe('a peer', () => {
  it('is not idle while a generator that reads nothing is asked for its next value', async () => {
    const house = await House.open(
      async function* (connection) {
        yield await promised(5000, connection);
        yield await promised(5000, connection);
      },
      { idle: 1000, greeting: endless },
    );
    const client = await house.connect();
    await house.clock.advance(10_000);
    expect(client.text).toBe('5000\n5000\n');
    expect(house.log.closes).toEqual([]);
  });

  it('is not idle while the last bodies of a loop run, on what an operator in between has kept', async () => {
    const house = await House.open(
      async (connection) => {
        const words = connection.pipe(
          lines(),
          mergeMap((line) => line.split(' ')),
        );
        for await (const word of words) await connection.write(await promised(given(word), connection));
      },
      { idle: 1000 },
    );
    const client = await house.connect();
    client.write('3000 4000 5000\n').end();
    await house.clock.advance(12_000);
    expect(client.text).toBe('3000\n4000\n5000\n');
    expect(house.log.closes).toEqual(['ended']);
  });

  it('is idle while work goes on that the connection cannot see', async () => {
    const house = await House.open(
      (connection) =>
        connection.pipe(
          lines(),
          mergeMap((line) => promised(given(line), connection)),
        ),
      { idle: 1000 },
    );
    const client = await house.connect();
    client.write('5000\n');
    await house.clock.advance(1000);
    client.end();
    await house.clock.settle();
    expect(house.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'idle' }]);
  });

  it.each([
    ['the budget', PauseCause.budget],
    ['the handler', PauseCause.handler],
    ['the turn of others', PauseCause.yield],
  ])('is not idle while %s holds its input back', (_what, cause) => {
    const { said } = run({}, ({ connection, at, say }) => {
      connection.watchdog.guard({ idle: 50, greeting: endless, frame: endless, reply: endless, grace: 100 });
      connection.subscribe(heard(say));
      at(10, () => connection.control.pause(cause));
      at(200, () => connection.control.resume(cause));
    });
    expect(said[0]).toBe('250 Cannot wait longer: the idle deadline of 50 ms is over');
  });

  it('is idle while it does not take what is written', () => {
    const { said } = run({ stall: endless, highWaterMark: 1, window: 5 }, ({ connection, client, say }) => {
      connection.watchdog.guard({ idle: 50, greeting: endless, frame: endless, reply: endless, grace: 100 });
      client.pause().write('a\n');
      exchange(lines(), () => ['0123456789', 'more', 'more'])(connection)
        .pipe(connection.send())
        .subscribe(heard(say));
    });
    expect(said[0]).toBe('50 Cannot wait longer: the idle deadline of 50 ms is over');
  });
});

describe('a frame that has begun', () => {
  const half = (cause: number, from: number, to: number) =>
    run({}, ({ connection, client, at, say }) => {
      connection.watchdog.guard({ idle: endless, greeting: endless, frame: 50, reply: endless, grace: 100 });
      client.write('half');
      connection.pipe(lines()).subscribe(heard(say));
      at(from, () => connection.control.pause(cause));
      at(to, () => connection.control.resume(cause));
    }).said[0];

  it('has as much time as if its input had never been held back', () => {
    expect(half(PauseCause.handler, 10, 49)).toBe('89 Cannot wait longer: the frame deadline of 50 ms is over');
    expect(half(PauseCause.peer, 10, 500)).toBe('540 Cannot wait longer: the frame deadline of 50 ms is over');
  });

  it('stands under its deadline while the budget holds it back', () => {
    expect(half(PauseCause.budget, 10, 500)).toBe('50 Cannot wait longer: the frame deadline of 50 ms is over');
  });
});

describe('the reply deadline', () => {
  const converse = async (
    project: (request: string, connection: Connection) => Reply,
    { serve = {}, ...options }: ExchangeOptions<string> & { readonly serve?: ServeOptions } = {},
  ) => {
    const house = await House.open(exchange(lines(), project, options), { idle: 1000, ...serve });
    const client = await house.connect();
    return { house, client };
  };
  const late = (line: string, connection: Connection) => work(given(line), connection);

  it('ends a connection as failed, with an error that says so, and unsubscribes the work', async () => {
    let left = 0;
    const { house, client } = await converse(() => new Observable(() => () => left++), { timeout: 5000 });
    client.write('a\n');
    await house.clock.advance(4999);
    expect(house.log.types).toEqual(['listening', 'opened']);
    await house.clock.advance(1);
    client.end();
    await house.clock.settle();
    const error = new DeadlineError('reply', 5000);
    expect(house.log.of('failed')).toMatchObject([{ id: 1, error }]);
    expect(house.log.of('closed')).toMatchObject([{ reason: 'failed', deadline: 'reply', error, duration: 5000 }]);
    expect(left).toBe(1);
    expect(house.clock.actions).toEqual([]);
  });

  it('is a minute in a server, unless it is told another', async () => {
    for (const [reply, after] of [
      [undefined, 60_000],
      [5000, 5000],
    ] as const) {
      const { house, client } = await converse(() => NEVER, { serve: reply === undefined ? {} : { reply } });
      client.write('a\n');
      await house.clock.advance(after - 1);
      expect(house.log.of('failed')).toEqual([]);
      await house.clock.advance(1);
      expect(house.log.of('failed')).toMatchObject([{ error: { deadline: 'reply', after } }]);
    }
  });

  it('can be none', async () => {
    const { house, client } = await converse(late, { timeout: endless });
    client.write('10000000\n');
    await house.clock.advance(10_000_000);
    expect(client.text).toBe('10000000\n');
  });

  it('is none for a connection that is not served', () => {
    const { said } = run({}, ({ connection, client, say }) => {
      client.write('10000000\n').end();
      exchange(lines(), late)(connection).pipe(connection.send()).subscribe(heard(say));
    });
    expect(said).toEqual(['10000000 complete', '10000000 ended 9 0']);
  });

  it('can be answered, and the conversation goes on', async () => {
    const onError = (error: unknown, line: string) => `${line} ${(error as DeadlineError).deadline}\n`;
    const { house, client } = await converse(late, { timeout: 2000, onError });
    client.write('9000\n1500\n9000\n');
    await house.clock.advance(6000);
    expect(client.text).toBe('9000 reply\n1500\n9000 reply\n');
    expect(house.log.of('failed')).toEqual([]);
    client.end();
    await house.clock.settle();
    expect(house.log.closes).toEqual(['ended']);
  });

  it('holds for the answer of onError, too, which is final', async () => {
    const { house, client } = await converse(() => NEVER, { timeout: 2000, onError: () => NEVER });
    client.write('a\n');
    await house.clock.advance(3999);
    expect(house.log.of('failed')).toEqual([]);
    await house.clock.advance(1);
    expect(house.log.of('failed')).toMatchObject([{ error: { deadline: 'reply' } }]);
  });

  it('leaves those before it their answers, and waits for its turn among the replies', async () => {
    const { house, client } = await converse(
      (line, connection) => (line === 'never' ? NEVER : late(line, connection)),
      {
        concurrency: 3,
        timeout: 2000,
      },
    );
    client.write('1900\n');
    await house.clock.advance(100);
    client.write('never\n');
    await house.clock.advance(1800);
    expect(client.text).toBe('1900\n');
    expect(house.log.of('failed')).toEqual([]);
    await house.clock.advance(200);
    expect(house.log.of('failed')).toMatchObject([{ error: { deadline: 'reply' } }]);
  });

  it('ends several that are late at the same moment, each once', async () => {
    const seen: string[] = [];
    const onError = (error: unknown, line: string) => {
      seen.push(`${line} ${(error as DeadlineError).deadline}`);
      return `${line}\n`;
    };
    const { house, client } = await converse(() => NEVER, { concurrency: 3, timeout: 2000, onError });
    client.write('a\nb\nc\n');
    await house.clock.advance(2000);
    expect(seen).toEqual(['a reply', 'b reply', 'c reply']);
    expect(client.text).toBe('a\nb\nc\n');
  });

  it('calls nothing for the others when one of several ends the connection', async () => {
    const seen: string[] = [];
    let connection: Connection | undefined;
    const onError = (_error: unknown, line: string) => {
      seen.push(line);
      connection?.end();
      return undefined;
    };
    const { house, client } = await converse(
      (_line, from) => {
        connection = from;
        return NEVER;
      },
      { concurrency: 3, timeout: 2000, onError },
    );
    client.write('a\nb\nc\n');
    await house.clock.advance(2000);
    client.end();
    await house.clock.settle();
    expect(seen).toEqual(['a']);
    expect(house.log.closes).toEqual(['completed']);
  });

  it('does not count the time in which a generator waits for the peer, and counts on from there', async () => {
    const { house, client } = await converse(
      async function* (_line, connection) {
        yield await promised(1500, connection);
        yield 'x'.repeat(200_000);
        yield await promised(400, connection);
        yield await promised(400, connection);
      },
      { timeout: 2000, serve: { stall: endless, idle: endless } },
    );
    client.pause().write('a\n');
    await house.clock.advance(1_000_000);
    expect(house.log.of('failed')).toEqual([]);
    client.resume();
    await house.clock.advance(499);
    expect(client.text.endsWith('400\n')).toBe(true);
    expect(house.log.of('failed')).toEqual([]);
    await house.clock.advance(1);
    expect(house.log.of('failed')).toMatchObject([{ error: { deadline: 'reply' } }]);
  });

  it('is one timer, however many requests are in work', async () => {
    const { house, client } = await converse(() => NEVER, { concurrency: 1000, serve: { idle: endless } });
    const before = house.clock.actions.length;
    client.write('a\n'.repeat(500));
    await house.clock.settle();
    expect(house.clock.actions.length - before).toBeLessThanOrEqual(1);
    client.break();
    await house.clock.settle();
    expect(house.clock.actions).toEqual([]);
  });

  it('is not there for replies that are given at once', async () => {
    const { house, client } = await converse((line) => line, { serve: { idle: endless, greeting: endless } });
    client.write('a\nb\n');
    await house.clock.settle();
    expect(house.clock.actions).toEqual([]);
  });

  it.each([0, -1, Number.NaN])('cannot be %s ms', (timeout) => {
    expect(() => exchange(lines(), () => of('a'), { timeout })).toThrow(RangeError);
  });

  it('cannot be what is no time', () => {
    expect(() => exchange(lines(), () => of('a'), { timeout: '5' as never })).toThrow(TypeError);
  });
});
