import fc from 'fast-check';
import { ignoreElements, map, merge, NEVER, of, Subject, take } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { exchange } from '../../lib/flow/exchange.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection, ConnectionView, ServeOptions } from '../../lib/index.ts';
import { serve } from '../../lib/serve.ts';
import { Spread } from '../../lib/shutdown/spread.ts';
import { clients, closeClients } from '../support/client.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const echo = (connection: Connection) => connection.pipe(lines(), map(encodeLine));

afterEach(closeClients);

/** When the items are worked on, by a clock that jumps over some times: the process does not run then. */
function worked(
  count: number,
  time: number,
  limit: number,
  stalls: readonly (readonly [at: number, length: number])[],
) {
  const clock = new Clock();
  const at: number[] = [];
  const spread = new Spread({ clock, time, limit }, [...Array(count).keys()], () => at.push(clock.now()));
  const run = async () => {
    for (const [start, length] of stalls) {
      clock.jump(Math.max(0, start - clock.now()));
      // All actions of this time run at its end, as timers do after a freeze.
      clock.frame += length;
      for (const action of clock.actions) action.delay = Math.max(action.delay, clock.frame);
    }
    clock.jump(3 * limit + 1000);
    return at;
  };
  return { run, clock, spread, at };
}

describe('a spread', () => {
  it('works on the first item at once, and on each further one at its share of the time', async () => {
    expect(await worked(4, 400, 400, []).run()).toEqual([0, 100, 200, 300]);
    expect(await worked(1, 400, 400, []).run()).toEqual([0]);
    expect(await worked(0, 400, 400, []).run()).toEqual([]);
  });

  it('works on every item once, in order, at its turn or one step later, for any number and time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(300), fc.integer({ min: 1, max: 5000 }), async (count, time) => {
        const at = await worked(count, time, time, []).run();
        expect(at).toHaveLength(count);
        for (const [index, when] of at.entries()) {
          const turn = (index * time) / count;
          expect(when).toBeGreaterThanOrEqual(Math.floor(turn - 1e-3));
          expect(when).toBeLessThanOrEqual(Math.ceil(turn) + 11);
        }
      }),
    );
  });

  it('does not catch up all at once after a stalled loop: the end moves back', async () => {
    const at = await worked(1000, 1000, 5000, [[300, 700]]).run();
    expect(at).toHaveLength(1000);
    const within = (from: number, to: number) => at.filter((when) => when >= from && when < to).length;
    expect(within(0, 300)).toBe(291);
    expect(within(1000, 1100)).toBeLessThanOrEqual(220);
    for (let from = 1100; from < 1500; from += 100) expect(Math.abs(within(from, from + 100) - 100)).toBeLessThan(20);
    expect(at.at(-1)).toBeLessThan(1700);
  });

  it('spreads the rest over the time up to the limit, and is done by then', async () => {
    const at = await worked(1000, 1000, 1500, [[300, 700]]).run();
    expect(at.at(-1)).toBeLessThanOrEqual(1500);
    const most = Math.max(...[11, 12, 13, 14].map((k) => at.filter((t) => Math.floor(t / 100) === k).length));
    expect(most).toBeLessThan(200);
    const late = await worked(1000, 1000, 1000, [[300, 2700]]).run();
    expect(late).toHaveLength(1000);
    expect(late.filter((when) => when >= 3000)).toHaveLength(699);
  });

  it('has one timer, and none when it is cancelled or done', () => {
    const { spread, clock, at } = worked(1000, 1000, 1000, []);
    clock.jump(500);
    expect(clock.actions).toHaveLength(1);
    spread.cancel();
    expect(clock.actions).toHaveLength(0);
    clock.jump(1000);
    expect(at).toHaveLength(501);
  });

  it('works on very many in several iterations of the event loop, and stops when it is cancelled in between', async () => {
    const clock = new Clock();
    let count = 0;
    const spread = new Spread({ clock, time: 10, limit: 10 }, Array(5000).fill(0), () => count++);
    await clock.advance(9);
    expect(count).toBe(1);
    clock.maxFrames = 10;
    const [step] = clock.actions;
    clock.frame = 10;
    clock.actions.shift();
    step?.execute(step.state, step.delay);
    expect(count).toBe(1024);
    spread.cancel();
    await clock.advance(100);
    expect(count).toBe(1024);
  });

  it('may be cancelled within the work on an item', async () => {
    const clock = new Clock();
    const seen: number[] = [];
    const spread: Spread<number> = new Spread({ clock, time: 30, limit: 30 }, [1, 2, 3], (item) => {
      seen.push(item);
      if (item === 2) spread.cancel();
    });
    await clock.advance(100);
    expect(seen).toEqual([1, 2]);
    expect(clock.actions).toEqual([]);
  });
});

/** A server with idle clients that answer its FIN. */
async function idleServer(count: number, options: ServeOptions) {
  const perAddress = { connections: Number.POSITIVE_INFINITY };
  const limits = { concurrency: count, waiting: { max: count }, perAddress, idle: 60_000, greeting: 60_000 };
  const server = new TestServer(echo, { ...limits, ...options });
  server.clock.jump(0);
  for (let i = 0; i < count; i++) server.network.connect();
  server.clock.jump(0);
  const [listening] = server.log.of('listening');
  return { server, connections: listening?.connections };
}

describe('a drain that is spread', () => {
  it('ends 5000 idle connections evenly over 5 s, as its rehearsal says', async () => {
    const { server, connections } = await idleServer(5000, { spread: 5000 });
    const estimate = connections?.rehearse() ?? { idle: 0, duration: 0 };
    const closedAt: number[] = [];
    connections?.changes.subscribe(({ type }) => type === 'closed' && closedAt.push(server.clock.now()));
    server.shutdown.next('SIGTERM');
    server.clock.jump(10_000);
    const { drained, aborted, refused, duration } = server.log.report;
    expect({ drained, aborted, refused }).toEqual({ drained: 5000, aborted: 0, refused: 0 });
    expect(closedAt).toHaveLength(5000);
    const began = server.log.of('draining').length === 1 ? 0 : Number.NaN;
    for (let from = began; from < 5000; from += 100) {
      const count = closedAt.filter((at) => at >= from && at < from + 100).length;
      expect([from, Math.abs(count - 100) <= 20]).toEqual([from, true]);
    }
    expect(estimate).toMatchObject({ idle: 5000, busy: 0, aborted: 0, unsent: 0 });
    expect(Math.abs(duration - estimate.duration)).toBeLessThanOrEqual(0.1 * duration);
    expect(connections?.rehearse()).toMatchObject({ idle: 0, duration: 0 });
  });

  it('serves a connection as before until its turn, and then answers what has begun', async () => {
    const replies = new Subject<void>();
    const answer = (line: string) =>
      replies.pipe(
        take(1),
        map(() => `${line}\n`),
      );
    const server = await TestServer.open(exchange(lines(), answer), { spread: 300, grace: 1000 });
    const [, second, third] = await server.connectAll(3);
    await server.signal();
    await server.clock.advance(50);
    second?.write('before\n');
    third?.write('one\n');
    await server.clock.settle();
    replies.next();
    await server.clock.advance(40);
    second?.write('at its turn\n');
    await server.clock.advance(60);
    second?.write('after\n');
    await server.clock.settle();
    replies.next();
    await server.clock.settle();
    expect([second?.text, second?.ended]).toEqual(['before\nat its turn\n', true]);
    expect([third?.text, third?.ended]).toEqual(['one\n', false]);
    await server.clock.advance(50);
    expect(third?.ended).toBe(true);
  });

  it('lets those that finish by themselves close as usual, and adds up', async () => {
    const { server } = await idleServer(0, { spread: 400, concurrency: 10 });
    const all = await server.connectAll(4);
    await server.signal();
    for (const client of all) client.end();
    await server.clock.advance(500);
    expect(server.log.closes).toEqual(['drained', 'ended', 'ended', 'ended']);
    expect(server.log.report).toMatchObject({ drained: 4, aborted: 0 });
    expect(server.clock.actions).toEqual([]);
  });

  it('is over within nine tenths of the grace, however long the spread is', async () => {
    const { server, connections } = await idleServer(100, { spread: 60_000, grace: 1000 });
    expect(connections?.rehearse()).toMatchObject({ idle: 100, aborted: 0, duration: 891 });
    expect(connections?.rehearse({ spread: 100 })).toMatchObject({ duration: 99 });
    server.shutdown.next('SIGTERM');
    server.clock.jump(2000);
    expect(server.log.report).toMatchObject({ drained: 100, aborted: 0 });
    expect(server.log.report.duration).toBeLessThanOrEqual(910);
  });

  it('ends at once on the second signal, and when the server is unsubscribed', async () => {
    for (const isSignal of [true, false]) {
      const { server } = await idleServer(10, { spread: 1000 });
      server.shutdown.next('SIGTERM');
      server.clock.jump(250);
      if (isSignal) server.shutdown.next('SIGTERM');
      else server.log.subscription?.unsubscribe();
      server.clock.jump(5000);
      expect(server.clock.actions).toEqual([]);
      expect(server.network.sockets.size).toBe(0);
      if (isSignal) expect(server.log.report).toMatchObject({ drained: 3, aborted: 7, duration: 250 });
    }
  });

  it('ends at once if the first connection gives the second signal', async () => {
    const server = await TestServer.open(
      (connection) => {
        connection.draining.subscribe(() => server.shutdown.next('SIGINT'));
        return NEVER;
      },
      { spread: 1000 },
    );
    await server.connectAll(10);
    await server.signal();
    await server.clock.advance(100);
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 10, duration: 0 });
    expect(server.clock.actions).toEqual([]);
  });

  it.each<[object, string]>([
    [{ spread: Number.POSITIVE_INFINITY }, 'spread must be milliseconds, 0 or more and not Infinity, not Infinity'],
    [{ spread: -1 }, 'spread must be milliseconds, 0 or more and not Infinity, not -1'],
    [{ lastCall: 'bye' }, "lastCall must be a function, not 'bye'"],
    [{ report: 0 }, 'report must be more than 0 milliseconds, or Infinity for no limit, not 0'],
  ])('is not begun with %o', (options, message) => {
    expect(() => serve({ port: 0 }, echo, options)).toThrow(`Cannot serve: ${message}`);
  });

  it('ends idle clients on real sockets one after the other, and none of them by a RST', async () => {
    const shutdown = new Subject<void>();
    const options = { shutdown, grace: 120_000, spread: 200, lastCall: () => 'bye\n' };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, echo, options));
    const port = await log.whenListening();
    const idle = clients(50, port);
    await log.whenEmitted('opened', 50);
    shutdown.next();
    await Promise.all(idle.map((one) => one.whenClosed()));
    await log.whenCompleted();
    expect(idle.map(({ text, ended, fault }) => [text, ended, fault])).toEqual(
      Array(50).fill(['bye\n', true, undefined]),
    );
    expect(log.report).toMatchObject({ drained: 50, aborted: 0 });
    // A timer never fires early.
    expect(log.report.duration).toBeGreaterThanOrEqual(190);
  });
});

describe('the last call', () => {
  const bye = { lastCall: ({ id }: ConnectionView) => `bye ${id}\n` };

  it('is sent before our FIN to connections that are idle, and behind the replies of those that are not', async () => {
    const replies = new Subject<string>();
    const server = await TestServer.open(
      exchange(lines(), () => replies.pipe(take(2))),
      bye,
    );
    const [idle, asking, partly] = await server.connectAll(3);
    asking?.write('request\n');
    partly?.write('req');
    await server.clock.settle();
    replies.next('re');
    await server.signal();
    expect([idle, asking, partly].map((one) => one?.text)).toEqual(['bye 1\n', 're', '']);
    replies.next('ply\n');
    partly?.write('uest\nnever\n');
    await server.clock.settle();
    replies.next('re');
    replies.next('ply\n');
    await server.clock.settle();
    expect([idle, asking, partly].map((one) => one?.text)).toEqual(['bye 1\n', 'reply\nbye 2\n', 'reply\nbye 3\n']);
    expect([idle, asking, partly].every((one) => one?.ended)).toBe(true);
  });

  it('is sent to a connection that the table drains, and at the end of its lifetime', async () => {
    const server = await TestServer.open(echo, { ...bye, lifetime: 100, jitter: 0 });
    const [one, two] = await server.connectAll(2);
    server.log.of('listening')[0]?.connections.drain(({ id }) => id === 1);
    await server.clock.settle();
    expect([one?.text, two?.text]).toEqual(['bye 1\n', '']);
    await server.clock.advance(100);
    expect(two?.text).toBe('bye 2\n');
    await server.clock.advance(1000);
    expect(server.log.closes).toEqual(['drained', 'lifetime']);
  });

  it('is not sent to a connection that ends otherwise', async () => {
    const called: number[] = [];
    const lastCall = ({ id }: ConnectionView) => {
      called.push(id);
      return 'bye\n';
    };
    const fails = new Subject<never>();
    const server = await TestServer.open(
      ({ id, draining }) =>
        id === 1 ? of('done\n') : id === 2 ? fails : id === 3 ? NEVER : draining.pipe(map(() => '')),
      { lastCall, grace: 50, lifetime: 30, jitter: 0 },
    );
    const all = await server.connectAll(5);
    await server.clock.advance(10);
    all[4]?.break();
    await server.clock.advance(25);
    fails.error(new Error('in the middle of a reply'));
    await server.signal();
    await server.clock.advance(1100);
    expect(all.map(({ text }) => text)).toEqual(['done\n', '', '', 'bye\n', '']);
    expect(called).toEqual([4]);
  });

  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('no words');
      },
      'no words',
    ],
    [
      'returns what cannot be sent',
      () => 5,
      'Cannot send the last call: what lastCall returns must be a string or a Uint8Array, not 5',
    ],
  ])('of a function that %s is an event, and the connection ends all the same', async (_what, lastCall, message) => {
    const server = await TestServer.open(echo, { lastCall: lastCall as never });
    const client = await server.connect();
    await server.signal();
    expect([client.text, client.ended]).toEqual(['', true]);
    client.end();
    await server.clock.settle();
    expect(server.log.of('failed')).toMatchObject([{ id: 1, callback: 'lastCall', error: { message } }]);
    expect(server.log.closes).toEqual(['drained']);
  });

  it('is nothing for undefined', async () => {
    const server = await TestServer.open(echo, { lastCall: () => undefined });
    const client = await server.connect();
    await server.signal();
    expect([client.text, client.ended]).toEqual(['', true]);
  });

  it.each(['end', 'abort', 'drain'] as const)('may %s its connection within the call', async (method) => {
    let calls = 0;
    const lastCall = (connection: ConnectionView) => {
      calls++;
      connection[method]('again');
      return 'bye\n';
    };
    const server = await TestServer.open(echo, { lastCall });
    const client = await server.connect();
    await server.signal();
    client.end();
    await server.clock.settle();
    expect(calls).toBe(1);
    expect(client.text).toBe(method === 'abort' ? '' : 'bye\n');
    expect(server.log.closes).toEqual([method === 'abort' ? 'aborted' : 'drained']);
    expect(server.log.completed).toBe(true);
  });

  it('may unsubscribe the server within the call', async () => {
    const server = await TestServer.open(echo, {
      lastCall: () => {
        server.log.subscription?.unsubscribe();
        return 'bye\n';
      },
    });
    await server.connectAll(3);
    await server.signal();
    await server.clock.advance(2000);
    expect(server.network.sockets.size).toBe(0);
    expect(server.clock.actions).toEqual([]);
  });

  it('is dropped where more is unsent than may be, and the reply before it is not', async () => {
    const flood = ({ draining }: Connection) => merge(of('x'.repeat(100)), draining.pipe(ignoreElements()));
    const server = await TestServer.open(flood, { ...bye, maxOutbound: 60, highWaterMark: 20 });
    const client = server.network.connect({ window: 10, allowHalfOpen: true }).pause();
    await server.clock.settle();
    await server.signal();
    client.resume();
    await server.clock.settle();
    expect(client.text).toBe('x'.repeat(100));
    expect(client.ended).toBe(true);
  });
});
