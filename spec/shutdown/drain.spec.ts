import { concatMap, finalize, identity, map, NEVER, of, Subject, take, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Connection } from '../../lib/index.ts';
import { TestServer, unfreed } from '../support/testServer.ts';

const echo = (connection: Connection) =>
  connection.pipe(
    lines(),
    map((line) => `${line}\n`),
  );

/** A handler that never ends, also when its connection is asked to finish. */
const neverEnding = () => NEVER;

describe('a drain', () => {
  it('emits `draining`, closes the port, ends idle connections at once, and reports', async () => {
    const server = await TestServer.open(echo);
    const clients = await server.connectAll(3);
    for (const client of clients) client.write('one\n');
    await server.clock.advance(10);
    server.shutdown.next('SIGTERM');
    expect(server.log.types.slice(-1)).toEqual(['draining']);
    expect(server.network.listening).toBe(true);
    await server.clock.settle();
    expect(server.network.listening).toBe(false);
    expect(clients.map(({ text, ended, reset }) => [text, ended, reset])).toEqual(
      Array(3).fill(['one\n', true, false]),
    );
    expect(server.log.completed).toBe(false);
    for (const client of clients) client.end();
    await server.clock.settle();
    expect(server.log.completed).toBe(true);
    expect(server.log.closes).toEqual(['drained', 'drained', 'drained']);
    expect(server.log.events.at(-1)).toEqual({
      type: 'drained',
      drained: 3,
      aborted: 0,
      refused: 0,
      unsent: 0,
      duration: 0,
    });
    expect(server.clock.actions).toEqual([]);
  });

  it('asks every connection to finish, though a teardown of one throws', async () => {
    const server = await TestServer.open((connection) => {
      const teardown = () => {
        throw new Error('in a teardown');
      };
      if (connection.id === 1) connection.draining.pipe(finalize(teardown)).subscribe();
      return echo(connection);
    });
    const clients = await server.connectAll(3);
    await server.signal();
    expect(clients.map(({ ended }) => ended)).toEqual([true, true, true]);
    for (const client of clients) client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['failed', 'drained', 'drained']);
    expect(server.log.of('failed').map(({ id }) => id)).toEqual([1]);
  });

  it('waits for a peer that sends no FIN no longer than the linger', async () => {
    const server = await TestServer.open(echo, { linger: 700 });
    await server.connectAll(2);
    await server.signal();
    await server.clock.advance(699);
    expect(server.log.completed).toBe(false);
    await server.clock.advance(1);
    expect(server.log.report).toMatchObject({ drained: 2, aborted: 0, duration: 700 });
  });

  it('accepts connections for `announce`, and refuses none meanwhile', async () => {
    const server = await TestServer.open(echo, { announce: 500 });
    await server.signal();
    await server.clock.advance(499);
    const late = await server.connect();
    late.write('in time\n');
    await server.clock.settle();
    expect(late.text).toBe('in time\n');
    expect(late.ended).toBe(false);
    await server.clock.advance(1);
    expect(late.ended).toBe(true);
    const tooLate = await server.connect();
    expect(tooLate.reset).toBe(true);
    late.end();
    await server.clock.settle();
    expect(server.log.report).toMatchObject({ drained: 1, aborted: 0, refused: 0, duration: 500 });
  });

  // A port that is closed at once resets what the kernel has completed: 50 of 50 clients had an ECONNRESET.
  it('serves connections that the kernel completes in the iteration of the signal', async () => {
    const server = await TestServer.open(echo);
    const clients = Array.from({ length: 50 }, () => server.network.connect({ allowHalfOpen: true }));
    server.shutdown.next('SIGTERM');
    await server.clock.settle();
    expect(clients.every(({ ended, reset }) => ended && !reset)).toBe(true);
    expect(server.log.of('opened')).toHaveLength(50);
  });

  it('lets the request in progress be answered, and begins no further one', async () => {
    const replies = new Subject<void>();
    const begun: string[] = [];
    const server = await TestServer.open((connection) =>
      connection.pipe(
        lines(),
        concatMap((line) => {
          begun.push(line);
          return replies.pipe(
            take(1),
            map(() => `${line}\n`),
          );
        }),
      ),
    );
    const client = await server.connect();
    client.write('first\n');
    await server.clock.settle();
    await server.signal();
    client.write('second\n');
    await server.clock.advance(100);
    expect(begun).toEqual(['first']);
    expect(server.log.completed).toBe(false);
    replies.next();
    await server.clock.settle();
    expect(client.text).toBe('first\n');
    expect(client.ended).toBe(true);
    client.end();
    await server.clock.settle();
    expect(begun).toEqual(['first']);
    expect(server.log.report).toMatchObject({ drained: 1, aborted: 0, duration: 100 });
  });

  it('lets a frame that has begun end', async () => {
    const server = await TestServer.open(echo);
    const client = await server.connect();
    client.write('be');
    await server.clock.settle();
    await server.signal();
    expect(client.ended).toBe(false);
    client.write('gun\nnever\n');
    await server.clock.settle();
    expect(client.text).toBe('begun\n');
    expect(client.ended).toBe(true);
  });

  // mergeMap alone starts the inner streams in its buffer after `takeUntil` has completed its source.
  it('refuses connections that wait, and runs no handler for them, handed out or not', async () => {
    const started: number[] = [];
    const handler = (connection: Connection) => {
      started.push(connection.id);
      return connection;
    };
    const server = await TestServer.open(handler, { concurrency: 2, waiting: { max: 3 } });
    const clients = await server.connectAll(5);
    await server.signal();
    expect(server.log.of('refused').map(({ id, reason }) => [id, reason])).toEqual(
      [3, 4, 5].map((id) => [id, 'draining']),
    );
    expect(clients.slice(2).every(({ over }) => over)).toBe(true);
    for (const client of clients) client.end();
    await server.clock.settle();
    expect(started).toEqual([1, 2]);
    expect(server.log.report).toMatchObject({ drained: 2, aborted: 0, refused: 3 });
    expect(server.log.counters).toEqual({ accepted: 5, waiting: 0, active: 0, closed: 2, refused: 3 });
  });

  it('counts connections in its report that are refused as `full` during `announce`', async () => {
    const server = await TestServer.open(echo, { announce: 100, concurrency: 1, waiting: { max: 0 } });
    await server.connectAll(2);
    expect(server.log.refusals).toEqual(['full']);
    await server.signal();
    await server.connect();
    await server.clock.advance(2000);
    expect(server.log.refusals).toEqual(['full', 'full']);
    expect(server.log.report).toMatchObject({ refused: 1, drained: 1 });
  });

  it('aborts connections exactly when the grace is over, and completes', async () => {
    let running = 0;
    const handler = () => {
      running++;
      return NEVER.pipe(finalize(() => running--));
    };
    const server = await TestServer.open(handler, { grace: 3000, idle: 60_000, greeting: 60_000 });
    const clients = await server.connectAll(4);
    await server.signal();
    await server.clock.advance(2999);
    expect(clients.some(({ over }) => over)).toBe(false);
    expect(running).toBe(4);
    await server.clock.advance(1);
    expect(clients.every(({ reset }) => reset)).toBe(true);
    expect(running).toBe(0);
    expect(server.log.closes).toEqual(Array(4).fill('aborted'));
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 4, refused: 0, duration: 3000 });
    expect(server.log.completed).toBe(true);
    expect(server.clock.actions).toEqual([]);
  });

  it('measures the grace from when the port is closed', async () => {
    const server = await TestServer.open(neverEnding, { announce: 1000, grace: 1000, idle: 60_000, greeting: 60_000 });
    await server.connect();
    await server.signal();
    await server.clock.advance(1999);
    expect(server.log.completed).toBe(false);
    await server.clock.advance(1);
    expect(server.log.report).toMatchObject({ aborted: 1, duration: 2000 });
  });

  it('aborts a connection whose peer never reads at the end of the grace, and reports its unsent bytes', async () => {
    const server = await TestServer.open(() => of('x'.repeat(5000)), { grace: 1000, stall: 60_000 });
    server.network.connect({ window: 100 }).pause();
    await server.clock.settle();
    await server.signal();
    await server.clock.advance(999);
    expect(server.log.completed).toBe(false);
    await server.clock.advance(1);
    expect(server.log.of('closed')).toMatchObject([{ reason: 'aborted', bytesOut: 100, unsent: 4900 }]);
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 1, unsent: 4900, duration: 1000 });
  });

  it('ends 100 ms after the grace though no socket reports that it is closed', async () => {
    const server = await TestServer.open(neverEnding, { grace: 1000, idle: 60_000, greeting: 60_000 }, unfreed);
    const client = await server.connect();
    await server.signal();
    await server.clock.advance(1099);
    expect(client.reset).toBe(true);
    expect(server.log.completed).toBe(false);
    await server.clock.advance(1);
    expect(server.log.completed).toBe(true);
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 1, duration: 1100 });
  });

  it('is over at once on a second signal', async () => {
    const server = await TestServer.open(neverEnding);
    const clients = await server.connectAll(2);
    await server.signal();
    await server.clock.advance(5);
    expect(server.log.completed).toBe(false);
    await server.signal();
    expect(clients.every(({ reset }) => reset)).toBe(true);
    expect(server.log.report).toMatchObject({ aborted: 2, duration: 5 });
    expect(server.log.completed).toBe(true);
  });

  it('is over at once on a second signal during `announce`', async () => {
    const server = await TestServer.open(neverEnding, { announce: 1000, concurrency: 1 });
    await server.connectAll(2);
    await server.signal();
    await server.signal();
    expect(server.log.completed).toBe(true);
    expect(server.network.listening).toBe(false);
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 1, refused: 1, duration: 0 });
    expect(server.log.of('draining')).toHaveLength(1);
  });

  it('is over at once when three signals arrive in one call', async () => {
    const server = await TestServer.open(neverEnding, { shutdown: of(1, 2, 3) });
    expect(server.log.completed).toBe(true);
    expect(server.log.types).toEqual(['draining', 'drained']);
    expect(server.network.listening).toBe(false);
  });

  it('ends at once with a grace of 0, and never by itself with an infinite one', async () => {
    const short = await TestServer.open(neverEnding, { grace: 0 });
    await short.connect();
    await short.signal();
    expect(short.log.report).toMatchObject({ aborted: 1, duration: 0 });
    const forever = Number.POSITIVE_INFINITY;
    for (const grace of [forever, 1e10]) {
      const long = await TestServer.open(neverEnding, { grace, idle: forever, greeting: forever });
      await long.connect();
      await long.signal();
      await long.clock.advance(1e9);
      expect(long.log.completed).toBe(false);
      await long.signal();
      expect(long.log.completed).toBe(true);
    }
  });

  it('supports times that are longer than a timer of Node can be', async () => {
    const time = 3_000_000_000;
    const server = await TestServer.open(neverEnding, {
      announce: time,
      grace: time,
      idle: Number.POSITIVE_INFINITY,
      greeting: Number.POSITIVE_INFINITY,
    });
    await server.connect();
    await server.signal();
    // Every clock is given delays of 31 bits at most, because a timer of Node fires at once for more.
    for (const { delay } of server.clock.actions) expect(delay - server.clock.now()).toBeLessThan(2 ** 31);
    await server.clock.advance(time - 1);
    expect(server.network.listening).toBe(true);
    await server.clock.advance(1);
    expect(server.network.listening).toBe(false);
    for (const { delay } of server.clock.actions) expect(delay - server.clock.now()).toBeLessThan(2 ** 31);
    await server.clock.advance(time - 1);
    expect(server.log.completed).toBe(false);
    await server.clock.advance(1);
    expect(server.log.report).toMatchObject({ aborted: 1, duration: 2 * time });
  });

  it('leaves the port closed when it begins before the port is open', async () => {
    const server = new TestServer(echo);
    server.shutdown.next('SIGTERM');
    await server.clock.settle();
    expect(server.log.types.filter((type) => type !== 'listening')).toEqual(['draining', 'drained']);
    expect(server.network.listening).toBe(false);
    expect(server.log.completed).toBe(true);
  });

  it('runs no code of a handler after the stream has completed', async () => {
    const ran: string[] = [];
    const ticks = new Subject<string>();
    const handler = (connection: Connection) => {
      connection.closed.subscribe(() => ran.push('closed'));
      return ticks.pipe(tap((tick) => ran.push(tick)));
    };
    const server = await TestServer.open(handler, { grace: 100 });
    const client = await server.connect();
    await server.signal();
    await server.clock.advance(100);
    expect(server.log.completed).toBe(true);
    expect(ran).toEqual(['closed']);
    ticks.next('late');
    client.write('late');
    await server.clock.advance(100_000);
    expect(ran).toEqual(['closed']);
    expect(ticks.observed).toBe(false);
  });

  it('unsubscribes the shutdown when it is over', async () => {
    const server = await TestServer.open(identity);
    expect(server.shutdown.observed).toBe(true);
    await server.signal();
    expect(server.log.completed).toBe(true);
    expect(server.shutdown.observed).toBe(false);
  });

  it('counts an eviction during the drain as aborted', async () => {
    const server = await TestServer.open(
      exchange(lines(), () => 'x'.repeat(1100)),
      { budget: 1000, grace: 20_000, stall: Number.POSITIVE_INFINITY },
    );
    const client = server.network.connect({ window: 0 }).pause();
    client.write('more\n');
    await server.clock.settle();
    await server.signal();
    await server.clock.advance(5000);
    expect(server.log.closes).toEqual(['evicted']);
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 1, unsent: 1100 });
  });

  it('counts a connection that fails or is reset during the drain as drained, not as aborted', async () => {
    const server = await TestServer.open((connection) => {
      if (connection.id === 1) return connection.draining.pipe(map(() => JSON.parse('{')));
      return NEVER;
    });
    const [, resets] = await server.connectAll(2);
    await server.signal();
    resets?.break();
    await server.clock.advance(20_000);
    expect(server.log.of('failed')).toMatchObject([{ id: 1 }]);
    expect(server.log.closes).toEqual(['reset', 'failed']);
    expect(server.log.report).toMatchObject({ drained: 2, aborted: 0 });
  });
});
