import { concatMap, finalize, identity, map, NEVER, of, Subject, take, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Connection } from '../../lib/index.ts';
import { House, unfreed } from '../support/house.ts';

const echo = (connection: Connection) =>
  connection.pipe(
    lines(),
    map((line) => `${line}\n`),
  );

/** A handler that never ends, also when its connection is asked to finish. */
const stubborn = () => NEVER;

describe('a drain', () => {
  it('emits `draining`, closes the port, ends idle connections at once, and reports', async () => {
    const house = await House.open(echo);
    const clients = await house.connectAll(3);
    for (const client of clients) client.write('one\n');
    await house.clock.advance(10);
    house.shutdown.next('SIGTERM');
    expect(house.log.types.slice(-1)).toEqual(['draining']);
    expect(house.network.listening).toBe(true);
    await house.clock.settle();
    expect(house.network.listening).toBe(false);
    expect(clients.map(({ text, ended, reset }) => [text, ended, reset])).toEqual(
      Array(3).fill(['one\n', true, false]),
    );
    expect(house.log.completed).toBe(false);
    for (const client of clients) client.end();
    await house.clock.settle();
    expect(house.log.completed).toBe(true);
    expect(house.log.closes).toEqual(['drained', 'drained', 'drained']);
    expect(house.log.events.at(-1)).toEqual({
      type: 'drained',
      drained: 3,
      aborted: 0,
      refused: 0,
      unsent: 0,
      duration: 0,
    });
    expect(house.clock.actions).toEqual([]);
  });

  it('asks every connection to finish, though a teardown of one throws', async () => {
    const house = await House.open((connection) => {
      const teardown = () => {
        throw new Error('in a teardown');
      };
      if (connection.id === 1) connection.draining.pipe(finalize(teardown)).subscribe();
      return echo(connection);
    });
    const clients = await house.connectAll(3);
    await house.signal();
    expect(clients.map(({ ended }) => ended)).toEqual([true, true, true]);
    for (const client of clients) client.end();
    await house.clock.settle();
    expect(house.log.closes).toEqual(['failed', 'drained', 'drained']);
    expect(house.log.of('failed').map(({ id }) => id)).toEqual([1]);
  });

  it('waits for a peer that sends no FIN no longer than the linger', async () => {
    const house = await House.open(echo, { linger: 700 });
    await house.connectAll(2);
    await house.signal();
    await house.clock.advance(699);
    expect(house.log.completed).toBe(false);
    await house.clock.advance(1);
    expect(house.log.report).toMatchObject({ drained: 2, aborted: 0, duration: 700 });
  });

  it('accepts connections for `announce`, and refuses none meanwhile', async () => {
    const house = await House.open(echo, { announce: 500 });
    await house.signal();
    await house.clock.advance(499);
    const late = await house.connect();
    late.write('in time\n');
    await house.clock.settle();
    expect(late.text).toBe('in time\n');
    expect(late.ended).toBe(false);
    await house.clock.advance(1);
    expect(late.ended).toBe(true);
    const tooLate = await house.connect();
    expect(tooLate.reset).toBe(true);
    late.end();
    await house.clock.settle();
    expect(house.log.report).toMatchObject({ drained: 1, aborted: 0, refused: 0, duration: 500 });
  });

  // A port that is closed at once resets what the kernel has completed: 50 of 50 clients had an ECONNRESET.
  it('serves connections that the kernel completes in the iteration of the signal', async () => {
    const house = await House.open(echo);
    const clients = Array.from({ length: 50 }, () => house.network.connect({ allowHalfOpen: true }));
    house.shutdown.next('SIGTERM');
    await house.clock.settle();
    expect(clients.every(({ ended, reset }) => ended && !reset)).toBe(true);
    expect(house.log.of('opened')).toHaveLength(50);
  });

  it('lets the request in progress be answered, and begins no further one', async () => {
    const replies = new Subject<void>();
    const begun: string[] = [];
    const house = await House.open((connection) =>
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
    const client = await house.connect();
    client.write('first\n');
    await house.clock.settle();
    await house.signal();
    client.write('second\n');
    await house.clock.advance(100);
    expect(begun).toEqual(['first']);
    expect(house.log.completed).toBe(false);
    replies.next();
    await house.clock.settle();
    expect(client.text).toBe('first\n');
    expect(client.ended).toBe(true);
    client.end();
    await house.clock.settle();
    expect(begun).toEqual(['first']);
    expect(house.log.report).toMatchObject({ drained: 1, aborted: 0, duration: 100 });
  });

  it('lets a frame that has begun end', async () => {
    const house = await House.open(echo);
    const client = await house.connect();
    client.write('be');
    await house.clock.settle();
    await house.signal();
    expect(client.ended).toBe(false);
    client.write('gun\nnever\n');
    await house.clock.settle();
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
    const house = await House.open(handler, { concurrency: 2, waiting: { max: 3 } });
    const clients = await house.connectAll(5);
    await house.signal();
    expect(house.log.of('refused').map(({ id, reason }) => [id, reason])).toEqual(
      [3, 4, 5].map((id) => [id, 'draining']),
    );
    expect(clients.slice(2).every(({ over }) => over)).toBe(true);
    for (const client of clients) client.end();
    await house.clock.settle();
    expect(started).toEqual([1, 2]);
    expect(house.log.report).toMatchObject({ drained: 2, aborted: 0, refused: 3 });
    expect(house.log.counters).toEqual({ accepted: 5, waiting: 0, active: 0, closed: 2, refused: 3 });
  });

  it('counts connections in its report that are refused as `full` during `announce`', async () => {
    const house = await House.open(echo, { announce: 100, concurrency: 1, waiting: { max: 0 } });
    await house.connectAll(2);
    expect(house.log.refusals).toEqual(['full']);
    await house.signal();
    await house.connect();
    await house.clock.advance(2000);
    expect(house.log.refusals).toEqual(['full', 'full']);
    expect(house.log.report).toMatchObject({ refused: 1, drained: 1 });
  });

  it('aborts connections exactly when the grace is over, and completes', async () => {
    let running = 0;
    const handler = () => {
      running++;
      return NEVER.pipe(finalize(() => running--));
    };
    const house = await House.open(handler, { grace: 3000, idle: 60_000, greeting: 60_000 });
    const clients = await house.connectAll(4);
    await house.signal();
    await house.clock.advance(2999);
    expect(clients.some(({ over }) => over)).toBe(false);
    expect(running).toBe(4);
    await house.clock.advance(1);
    expect(clients.every(({ reset }) => reset)).toBe(true);
    expect(running).toBe(0);
    expect(house.log.closes).toEqual(Array(4).fill('aborted'));
    expect(house.log.report).toMatchObject({ drained: 0, aborted: 4, refused: 0, duration: 3000 });
    expect(house.log.completed).toBe(true);
    expect(house.clock.actions).toEqual([]);
  });

  it('measures the grace from when the port is closed', async () => {
    const house = await House.open(stubborn, { announce: 1000, grace: 1000, idle: 60_000, greeting: 60_000 });
    await house.connect();
    await house.signal();
    await house.clock.advance(1999);
    expect(house.log.completed).toBe(false);
    await house.clock.advance(1);
    expect(house.log.report).toMatchObject({ aborted: 1, duration: 2000 });
  });

  it('aborts a connection whose peer never reads at the end of the grace, and reports its unsent bytes', async () => {
    const house = await House.open(() => of('x'.repeat(5000)), { grace: 1000, stall: 60_000 });
    house.network.connect({ window: 100 }).pause();
    await house.clock.settle();
    await house.signal();
    await house.clock.advance(999);
    expect(house.log.completed).toBe(false);
    await house.clock.advance(1);
    expect(house.log.of('closed')).toMatchObject([{ reason: 'aborted', bytesOut: 100, unsent: 4900 }]);
    expect(house.log.report).toMatchObject({ drained: 0, aborted: 1, unsent: 4900, duration: 1000 });
  });

  it('ends 100 ms after the grace though no socket reports that it is closed', async () => {
    const house = await House.open(stubborn, { grace: 1000, idle: 60_000, greeting: 60_000 }, unfreed);
    const client = await house.connect();
    await house.signal();
    await house.clock.advance(1099);
    expect(client.reset).toBe(true);
    expect(house.log.completed).toBe(false);
    await house.clock.advance(1);
    expect(house.log.completed).toBe(true);
    expect(house.log.report).toMatchObject({ drained: 0, aborted: 1, duration: 1100 });
  });

  it('is over at once on a second signal', async () => {
    const house = await House.open(stubborn);
    const clients = await house.connectAll(2);
    await house.signal();
    await house.clock.advance(5);
    expect(house.log.completed).toBe(false);
    await house.signal();
    expect(clients.every(({ reset }) => reset)).toBe(true);
    expect(house.log.report).toMatchObject({ aborted: 2, duration: 5 });
    expect(house.log.completed).toBe(true);
  });

  it('is over at once on a second signal during `announce`', async () => {
    const house = await House.open(stubborn, { announce: 1000, concurrency: 1 });
    await house.connectAll(2);
    await house.signal();
    await house.signal();
    expect(house.log.completed).toBe(true);
    expect(house.network.listening).toBe(false);
    expect(house.log.report).toMatchObject({ drained: 0, aborted: 1, refused: 1, duration: 0 });
    expect(house.log.of('draining')).toHaveLength(1);
  });

  it('is over at once when three signals arrive in one call', async () => {
    const house = await House.open(stubborn, { shutdown: of(1, 2, 3) });
    expect(house.log.completed).toBe(true);
    expect(house.log.types).toEqual(['draining', 'drained']);
    expect(house.network.listening).toBe(false);
  });

  it('ends at once with a grace of 0, and never by itself with an infinite one', async () => {
    const short = await House.open(stubborn, { grace: 0 });
    await short.connect();
    await short.signal();
    expect(short.log.report).toMatchObject({ aborted: 1, duration: 0 });
    const forever = Number.POSITIVE_INFINITY;
    for (const grace of [forever, 1e10]) {
      const long = await House.open(stubborn, { grace, idle: forever, greeting: forever });
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
    const house = await House.open(stubborn, {
      announce: time,
      grace: time,
      idle: Number.POSITIVE_INFINITY,
      greeting: Number.POSITIVE_INFINITY,
    });
    await house.connect();
    await house.signal();
    // Every clock is given delays of 31 bits at most, because a timer of Node fires at once for more.
    for (const { delay } of house.clock.actions) expect(delay - house.clock.now()).toBeLessThan(2 ** 31);
    await house.clock.advance(time - 1);
    expect(house.network.listening).toBe(true);
    await house.clock.advance(1);
    expect(house.network.listening).toBe(false);
    for (const { delay } of house.clock.actions) expect(delay - house.clock.now()).toBeLessThan(2 ** 31);
    await house.clock.advance(time - 1);
    expect(house.log.completed).toBe(false);
    await house.clock.advance(1);
    expect(house.log.report).toMatchObject({ aborted: 1, duration: 2 * time });
  });

  it('leaves the port closed when it begins before the port is open', async () => {
    const house = new House(echo);
    house.shutdown.next('SIGTERM');
    await house.clock.settle();
    expect(house.log.types.filter((type) => type !== 'listening')).toEqual(['draining', 'drained']);
    expect(house.network.listening).toBe(false);
    expect(house.log.completed).toBe(true);
  });

  it('runs no code of a handler after the stream has completed', async () => {
    const ran: string[] = [];
    const ticks = new Subject<string>();
    const handler = (connection: Connection) => {
      connection.closed.subscribe(() => ran.push('closed'));
      return ticks.pipe(tap((tick) => ran.push(tick)));
    };
    const house = await House.open(handler, { grace: 100 });
    const client = await house.connect();
    await house.signal();
    await house.clock.advance(100);
    expect(house.log.completed).toBe(true);
    expect(ran).toEqual(['closed']);
    ticks.next('late');
    client.write('late');
    await house.clock.advance(100_000);
    expect(ran).toEqual(['closed']);
    expect(ticks.observed).toBe(false);
  });

  it('unsubscribes the shutdown when it is over', async () => {
    const house = await House.open(identity);
    expect(house.shutdown.observed).toBe(true);
    await house.signal();
    expect(house.log.completed).toBe(true);
    expect(house.shutdown.observed).toBe(false);
  });

  it('counts an eviction during the drain as aborted', async () => {
    const house = await House.open(
      exchange(lines(), () => 'x'.repeat(1100)),
      { budget: 1000, grace: 20_000, stall: Number.POSITIVE_INFINITY },
    );
    const client = house.network.connect({ window: 0 }).pause();
    client.write('more\n');
    await house.clock.settle();
    await house.signal();
    await house.clock.advance(5000);
    expect(house.log.closes).toEqual(['evicted']);
    expect(house.log.report).toMatchObject({ drained: 0, aborted: 1, unsent: 1100 });
  });

  it('counts a connection that fails or is reset during the drain as drained, not as aborted', async () => {
    const house = await House.open((connection) => {
      if (connection.id === 1) return connection.draining.pipe(map(() => JSON.parse('{')));
      return NEVER;
    });
    const [, resets] = await house.connectAll(2);
    await house.signal();
    resets?.break();
    await house.clock.advance(20_000);
    expect(house.log.of('failed')).toMatchObject([{ id: 1 }]);
    expect(house.log.closes).toEqual(['reset', 'failed']);
    expect(house.log.report).toMatchObject({ drained: 2, aborted: 0 });
  });
});
