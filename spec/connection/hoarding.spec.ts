import {
  bufferCount,
  bufferTime,
  concatMap,
  delay,
  exhaustMap,
  filter,
  ignoreElements,
  interval,
  map,
  merge,
  mergeMap,
  type Observable,
  observeOn,
  of,
  queueScheduler,
  type SchedulerLike,
  switchMap,
  take,
  tap,
  throttleTime,
  zip,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { broadcast } from '../../lib/flow/broadcast.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection, Data, HoardingEvent, ServeOptions } from '../../lib/index.ts';
import { listen } from '../../lib/listen/listen.ts';
import type { Handler } from '../../lib/serve.ts';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { clockOf } from '../support/internals.ts';
import { TestServer } from '../support/testServer.ts';

const long: ServeOptions = {
  idle: Number.POSITIVE_INFINITY,
  greeting: Number.POSITIVE_INFINITY,
  frame: Number.POSITIVE_INFINITY,
  reply: Number.POSITIVE_INFINITY,
  pace: { in: 0, out: 0 },
};

/** A handler made of an operator on lines, and the clock that it may use. */
const onLines =
  (
    operator: (requests: Observable<string>, clock: SchedulerLike, connection: Connection) => Observable<Data>,
  ): Handler =>
  (connection) =>
    operator(connection.pipe(lines()), clockOf(connection), connection);

/** The answer to a line, after a time. */
const after = (ms: number, clock: SchedulerLike) => (line: string) => of(encodeLine(line)).pipe(delay(ms, clock));

/** Ten lines of ten bytes each millisecond, until it is stopped or the time is over. */
function flood(server: TestServer, client: MemoryClient, { each = 10, ms = 1200 } = {}): void {
  const text = 'a request\n'.repeat(each);
  for (let at = 0; at < ms; at++) server.clock.schedule(() => client.write(text), at);
}

/** The events of a server whose client sends as {@link flood}. */
async function flooded(handler: Handler, how = {}): Promise<HoardingEvent[]> {
  const server = await TestServer.open(handler, long);
  const client = await server.connect();
  flood(server, client, how);
  await server.clock.advance(2000);
  return server.log.of('hoarding');
}

/** The clock of the connection, for a project that has only the connection. */
const slowly = (ms: number) => (line: string, connection: Connection) => after(ms, clockOf(connection))(line);

const named: Record<string, Handler> = {
  'concatMap(slow)': onLines((requests, clock) => requests.pipe(concatMap(after(10, clock)))),
  'a slower concatMap': onLines((requests, clock) => requests.pipe(concatMap(after(150, clock)))),
  'mergeMap with a limit': onLines((requests, clock) => requests.pipe(mergeMap(after(50, clock), 4))),
  'mergeMap without a limit, for work that takes long': onLines((requests, clock) =>
    requests.pipe(mergeMap(after(800, clock))),
  ),
  delay: onLines((requests, clock) => requests.pipe(map(encodeLine), delay(500, clock))),
  'zip with a slower source': onLines((requests, clock) =>
    zip(requests, interval(20, clock)).pipe(map(([line]) => encodeLine(line))),
  ),
  'batches that a concatMap cannot keep up with': onLines((requests, clock) =>
    requests.pipe(
      bufferCount(10),
      concatMap((batch) => after(40, clock)(`${batch.length}`)),
    ),
  ),
};

/** Handlers that hold nothing, or bound what they hold themselves. */
const unnamed: Record<string, Handler> = {
  map: onLines((requests) => requests.pipe(map(encodeLine))),
  'mergeMap that keeps up': onLines((requests, clock) => requests.pipe(mergeMap(after(5, clock)))),
  'mergeMap that keeps up, and answers every second frame': onLines((requests, clock) =>
    requests.pipe(
      filter((_line, index) => index % 2 === 0),
      mergeMap(after(60, clock)),
    ),
  ),
  observeOn: onLines((requests) => requests.pipe(observeOn(queueScheduler), map(encodeLine))),
  'ingest without a reply': onLines((requests) => requests.pipe(ignoreElements())),
  'ingest with an acknowledgement of each hundred': onLines((requests) =>
    requests.pipe(
      bufferCount(100),
      map((batch) => `${batch.length}\n`),
    ),
  ),
  'ingest with an acknowledgement of what came in 50 ms': onLines((requests, clock) =>
    requests.pipe(
      bufferTime(50, clock),
      filter((batch) => batch.length > 0),
      concatMap((batch) => after(20, clock)(`${batch.length}`)),
    ),
  ),
  exhaustMap: onLines((requests, clock) => requests.pipe(exhaustMap(after(10, clock)))),
  switchMap: onLines((requests, clock) => requests.pipe(switchMap(after(1, clock)))),
  throttleTime: onLines((requests, clock) =>
    requests.pipe(throttleTime(20, clock, { leading: true, trailing: true }), map(encodeLine)),
  ),
  'ingest with news from time to time': onLines((requests, clock) =>
    merge(requests.pipe(ignoreElements()), interval(300, clock).pipe(map(() => 'news\n'))),
  ),
  'an exchange of one request at a time': exchange(lines(), slowly(10)),
  'an exchange of thousands of requests at a time': exchange(lines(), slowly(300), { concurrency: 5000 }),
  'an exchange that answers at once': exchange(lines(), encodeLine),
  'an exchange that answers nothing': exchange(lines(), () => undefined),
  'a loop': async (connection: Connection) => {
    for await (const line of connection.pipe(lines())) {
      await new Promise((resolve) => void clockOf(connection).schedule(() => resolve(undefined), 10));
      await connection.write(encodeLine(line));
    }
  },
  'a generator': async function* (connection: Connection) {
    for await (const line of connection.pipe(lines())) {
      await new Promise((resolve) => void clockOf(connection).schedule(() => resolve(undefined), 10));
      yield encodeLine(line);
    }
  },
};

describe('a handler under a flood', () => {
  it.each(Object.entries(named))('is named within a second, once, if it is %s', async (_name, handler) => {
    const server = await TestServer.open(handler, long);
    const client = await server.connect();
    flood(server, client);
    await server.clock.advance(1000);
    const first = server.log.of('hoarding');
    expect(first).toHaveLength(1);
    const { peer } = server.log.of('opened')[0] ?? {};
    expect(first[0]).toMatchObject({ type: 'hoarding', id: 1, peer });
    expect(first[0]?.frames).toBeGreaterThan(512);
    expect(Math.abs((first[0]?.bytes ?? 0) - 10 * (first[0]?.frames ?? 0))).toBeLessThan(100);
    await server.clock.advance(1000);
    expect(server.log.of('hoarding')).toHaveLength(1);
  });

  it.each(Object.entries(unnamed))('is never named if it is %s', async (_name, handler) => {
    expect(await flooded(handler)).toEqual([]);
  });

  it('is named if all came at once, and nothing follows', async () => {
    const server = await TestServer.open(named['concatMap(slow)'] as Handler, long);
    const client = await server.connect();
    client.write('a request\n'.repeat(5000));
    await server.clock.advance(1000);
    expect(server.log.of('hoarding')).toHaveLength(1);
    await server.clock.advance(60_000);
    expect(server.log.of('hoarding')).toHaveLength(1);
    expect(client.text).toBe('a request\n'.repeat(5000));
    expect(server.clock.actions).toEqual([]);
  });

  it('is named once for as long as it has not caught up', async () => {
    const server = await TestServer.open(named['concatMap(slow)'] as Handler, long);
    flood(server, await server.connect(), { each: 1, ms: 13_000 });
    await server.clock.advance(14_000);
    expect(server.log.of('hoarding')).toHaveLength(1);
    server.log.subscription?.unsubscribe();
  });

  it('is named a second time if it has caught up and falls behind again', async () => {
    const server = await TestServer.open(named['concatMap(slow)'] as Handler, long);
    const client = await server.connect();
    for (let round = 1; round <= 3; round++) {
      client.write('a request\n'.repeat(3000));
      await server.clock.advance(100_000);
      expect(server.log.of('hoarding')).toHaveLength(round);
    }
  });

  it('is not named if its client waits for its replies', async () => {
    const server = await TestServer.open(named['concatMap(slow)'] as Handler, long);
    const client = await server.connect();
    let answered = 0;
    client.write('a request\n'.repeat(64));
    client.received.subscribe((text) => {
      answered += text.length / 10;
      client.write(text);
    });
    await server.clock.advance(20_000);
    expect(answered).toBeGreaterThan(1900);
    expect(server.log.of('hoarding')).toEqual([]);
  });

  it('is not named for what gathers slowly, as where few frames are answered', async () => {
    const handler = onLines((requests, clock) =>
      merge(requests.pipe(ignoreElements()), interval(100, clock).pipe(map(() => 'news\n'))),
    );
    expect(await flooded(handler, { each: 1, ms: 400 })).toEqual([]);
    const server = await TestServer.open(handler, long);
    const client = await server.connect();
    for (let at = 0; at < 20_000; at += 10) server.clock.schedule(() => client.write('a request\n'), at);
    await server.clock.advance(20_000);
    expect(server.log.of('hoarding')).toEqual([]);
    server.log.subscription?.unsubscribe();
  });

  it('is not named if it is a member of a broadcast', async () => {
    const room = broadcast();
    const handler = (connection: Connection) =>
      merge(
        connection.pipe(
          lines(),
          tap((line) => line === 'all' && room.next('news\n')),
          ignoreElements(),
        ),
        room.to(connection),
      );
    const server = await TestServer.open(handler, long);
    const [client, other] = await server.connectAll(2);
    flood(server, client as MemoryClient);
    for (let at = 0; at < 1200; at += 10) server.clock.schedule(() => other?.write('all\n'), at);
    await server.clock.advance(3000);
    expect(client?.text.length).toBeGreaterThan(300);
    expect(server.log.of('hoarding')).toEqual([]);
  });

  it('is paused for a test, and seldom again', async () => {
    const server = await TestServer.open(unnamed.exhaustMap as Handler, long);
    const client = await server.connect();
    flood(server, client, { each: 2, ms: 14_000 });
    await server.clock.advance(15_000);
    expect(server.log.of('hoarding')).toEqual([]);
    client.end();
    await server.clock.settle();
    const { handler = 0 } = server.log.of('closed')[0]?.paused ?? {};
    expect(handler).toBeGreaterThan(0);
    expect(handler).toBeLessThanOrEqual(3 * 350);
  });

  it('is not paused where it answers nothing, or in the call, or all together, or is a loop', async () => {
    const burst = onLines((requests, clock) => requests.pipe(mergeMap(after(120, clock))));
    const loop = async (connection: Connection) => {
      let count = 0;
      for await (const _line of connection.pipe(lines())) if (++count % 100 === 0) await connection.write('100\n');
    };
    const names = ['map', 'ingest without a reply', 'ingest with an acknowledgement of each hundred'];
    const handlers = names.map((name) => [name, unnamed[name] as Handler] as const);
    for (const [name, handler] of [...handlers, ['a burst', burst] as const, ['a loop', loop] as const]) {
      const server = await TestServer.open(handler, long);
      const client = await server.connect();
      if (handler === burst) client.write('a request\n'.repeat(3000));
      else flood(server, client);
      await server.clock.advance(3000);
      client.end();
      await server.clock.settle();
      expect([name, server.log.of('closed')[0]?.paused]).toEqual([name, { peer: 0, handler: 0, budget: 0 }]);
    }
  });

  it.each<[string, (server: TestServer, client: MemoryClient) => void]>([
    ['aborts it', (server) => server.log.of('listening')[0]?.connections.abort(() => true)],
    ['drains it', (server) => server.log.of('listening')[0]?.connections.drain(() => true)],
    ['unsubscribes the server', (server) => server.log.subscription?.unsubscribe()],
  ])('may be named to what %s', async (_what, act) => {
    const server = await TestServer.open(named['concatMap(slow)'] as Handler, long);
    const client = await server.connect();
    const { next } = server.log;
    Object.assign(server.log, {
      next: (event: Parameters<typeof next>[0]) => {
        next(event);
        if (event.type === 'hoarding') act(server, client);
      },
    });
    client.write('a request\n'.repeat(2000));
    await server.clock.advance(1000);
    expect(server.log.of('hoarding')).toHaveLength(1);
    client.end();
    await server.clock.advance(60_000);
    expect(server.clock.actions).toEqual([]);
    expect(server.network.sockets.size).toBe(0);
  });

  it('is not disturbed by a drain, a close or a reset in the middle of a test', async () => {
    for (const act of ['drain', 'abort', 'break'] as const) {
      const server = await TestServer.open(named['a slower concatMap'] as Handler, { ...long, grace: 1000 });
      const client = await server.connect();
      client.write('a request\n'.repeat(2000));
      await server.clock.advance(250);
      const connections = server.log.of('listening')[0]?.connections;
      if (act === 'break') client.break();
      else connections?.[act](() => true);
      await server.clock.advance(1000);
      await server.signal();
      await server.clock.advance(3000);
      expect(server.log.of('hoarding')).toEqual([]);
      expect(server.log.completed).toBe(true);
      expect(server.clock.actions).toEqual([]);
    }
  });

  it('is not tested where nothing observes the events', async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const options = { transport: network.transport, scheduler: clock };
    let paused: unknown;
    const hoard = onLines((requests) => requests.pipe(concatMap(after(10, clock))));
    listen({ port: 0 }, options).subscribe((connection) => {
      connection.closed.subscribe((closed) => {
        paused = closed.paused;
      });
      (hoard(connection) as Observable<string>).pipe(connection.send()).subscribe();
    });
    await clock.settle();
    const client = network.connect().write('a request\n'.repeat(3000));
    await clock.advance(2000);
    client.break();
    await clock.settle();
    expect(paused).toEqual({ peer: 0, handler: 0, budget: 0 });
  });

  it('is passed all that came meanwhile, in order', async () => {
    const server = await TestServer.open(
      onLines((requests, clock) => requests.pipe(concatMap(after(1, clock)), take(3000))),
      long,
    );
    const client = await server.connect();
    const sent = Array.from({ length: 3000 }, (_, index) => `${index}\n`);
    for (const [at, line] of sent.entries()) server.clock.schedule(() => client.write(line), at / 10);
    await server.clock.advance(5000);
    expect(client.text).toBe(sent.join(''));
  });
});
