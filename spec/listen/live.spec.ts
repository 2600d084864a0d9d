import { EMPTY, NEVER, Observable, of, Subject, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { listen } from '../../lib/listen/listen.ts';
import { LiveOptions } from '../../lib/listen/live.ts';
import { whole } from '../../lib/options.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const echo: Handler = (connection) => connection;

/** Each option that may be an Observable: a value, and one that is not allowed. */
const options: [string, unknown, unknown, (value: Observable<never>) => ServeOptions][] = [
  ['concurrency', 5, 0, (concurrency) => ({ concurrency })],
  ['waiting.max', 5, -1, (max) => ({ waiting: { max } })],
  ['waiting.timeout', 5000, Number.NaN, (timeout) => ({ waiting: { timeout } })],
  ['allow', ['10.0.0.0/8', '127.0.0.1'], ['localhost'], (allow) => ({ allow })],
  ['deny', [], '10.0.0.0/8', (deny) => ({ deny })],
  ['perAddress.connections', 5, 1.5, (connections) => ({ perAddress: { connections } })],
  ['accepts.perSecond', 5, -1, (perSecond) => ({ accepts: { perSecond } })],
  ['accepts.perAddress.perSecond', 5, '5', (perSecond) => ({ accepts: { perAddress: { perSecond } } })],
  ['idle', 5000, 0, (idle) => ({ idle })],
  ['greeting', 5000, 0, (greeting) => ({ greeting })],
  ['frame', 5000, 0, (frame) => ({ frame })],
  ['reply', 5000, 0, (reply) => ({ reply })],
];

describe.each(options)('%s as an Observable', (name, value, wrong, given) => {
  const open = async (source: Observable<unknown>) => TestServer.open(echo, given(source as Observable<never>));

  it('opens the port when it emits, and keeps the last value when it completes', async () => {
    const source = new Subject<unknown>();
    const server = await open(source);
    await server.clock.advance(10_000);
    expect([server.network.listening, server.log.events]).toEqual([false, []]);
    source.next(value);
    source.complete();
    await server.clock.settle();
    const client = await server.connect();
    client.write('hello');
    await server.clock.settle();
    expect([server.log.types, client.text]).toEqual([['listening', 'opened'], 'hello']);
    server.log.subscription?.unsubscribe();
  });

  it('keeps the value before a wrong one, and says so', async () => {
    const source = new Subject<unknown>();
    const server = await open(source);
    source.next(value);
    await server.clock.settle();
    source.next(wrong);
    await server.clock.settle();
    expect(server.log.types).toEqual(['listening', 'failed']);
    const error = expect.objectContaining({
      message: expect.stringContaining(`Cannot use what an Observable has emitted: ${name} `),
    });
    expect(server.log.of('failed')).toEqual([{ type: 'failed', error }]);
    const client = await server.connect();
    expect([client.reset, server.log.of('opened').length, source.observed]).toEqual([false, 1, true]);
    server.log.subscription?.unsubscribe();
    await server.clock.advance(1000);
    expect([source.observed, server.clock.actions]).toEqual([false, []]);
  });

  it('errors if the first value is wrong, if there is none, or if it errors', async () => {
    for (const [source, message] of [
      [of(wrong), `Cannot use what an Observable has emitted: ${name} `],
      [EMPTY, `Cannot listen: ${name} has emitted no value`],
      [throwError(() => new Error('no settings')), 'no settings'],
    ] as const) {
      const server = await open(source);
      expect(String(server.log.fault)).toContain(message);
      expect([server.network.listening, server.log.events, server.clock.actions]).toEqual([false, [], []]);
    }
  });

  it('ends the server if it errors later, and leaves nothing', async () => {
    const source = new Subject<unknown>();
    const server = await open(source);
    source.next(value);
    await server.clock.settle();
    const client = await server.connect();
    source.error(new Error('gone'));
    await server.clock.advance(1000);
    expect(String(server.log.fault)).toContain('gone');
    expect([client.reset, server.network.listening, server.network.sockets.size]).toEqual([true, false, 0]);
    expect(server.clock.actions).toEqual([]);
  });
});

describe('several options as Observables', () => {
  it('open the port once, when the last of them has emitted; others may have changed by then', async () => {
    const [max, timeout, idle] = [new Subject<number>(), new Subject<number>(), new Subject<number>()];
    const server = await TestServer.open(echo, { concurrency: 1, waiting: { max, timeout }, idle });
    for (const value of [5, -1, 0]) max.next(value);
    idle.next(1000);
    idle.next(2000);
    await server.clock.settle();
    expect([server.network.listening, server.clock.actions]).toEqual([false, []]);
    timeout.next(100);
    timeout.next(200);
    await server.clock.settle();
    expect(server.log.types).toEqual(['failed', 'listening']);
    await server.connectAll(2);
    expect(server.log.refusals).toEqual(['full']);
    server.log.subscription?.unsubscribe();
  });

  it('change nothing before all of them have a value', () => {
    const [one, other] = [new Subject<number>(), new Subject<number>()];
    const changes: unknown[] = [];
    const live = new LiveOptions({
      ready: () => changes.push('ready'),
      failed: (error) => changes.push(error),
      emit: (event) => changes.push(event),
    });
    const reading = { allowed: whole(0), changed: (value: number) => changes.push(value) };
    live.add(one, { ...reading, name: 'one' });
    live.add(other, { ...reading, name: 'other' });
    live.start();
    for (const value of [1, 2, 3]) one.next(value);
    expect(changes).toEqual([]);
    other.next(4);
    one.next(5);
    expect(changes).toEqual(['ready', 5]);
  });

  it('are all unsubscribed if one fails, or has no value', async () => {
    for (const last of [EMPTY, throwError(() => new Error('x'))]) {
      const others = [new Subject<number>(), new Subject<number>()] as const;
      const [concurrency, reply] = others;
      const server = await TestServer.open(echo, { concurrency, waiting: { max: last }, reply });
      expect(server.log.fault).toBeDefined();
      expect(others.map(({ observed }) => observed)).toEqual([false, false]);
    }
  });

  it('are not subscribed to after one has failed', async () => {
    let subscribed = 0;
    const concurrency = new Observable<number>(() => void subscribed++);
    const server = await TestServer.open(echo, { waiting: { max: EMPTY }, concurrency });
    expect([server.log.fault, subscribed]).toEqual([expect.any(TypeError), 0]);
  });

  it('emit `listening` before what their further values cause', async () => {
    const concurrency = of(5, Number.MAX_SAFE_INTEGER);
    const server = await TestServer.open(echo, { concurrency, waiting: { max: of(1, Number.MAX_SAFE_INTEGER) } });
    expect(server.log.types[0]).toBe('listening');
    server.log.subscription?.unsubscribe();
  });

  it('that never emit are unsubscribed with the server, which has opened nothing', async () => {
    let isSubscribed = false;
    const concurrency = new Observable<number>(() => {
      isSubscribed = true;
      return () => {
        isSubscribed = false;
      };
    });
    const server = await TestServer.open(echo, { concurrency, idle: NEVER });
    expect(isSubscribed).toBe(true);
    server.log.subscription?.unsubscribe();
    expect([isSubscribed, server.network.listening, server.clock.actions]).toEqual([false, false, []]);
  });

  it('may unsubscribe the server while they emit, first or later', async () => {
    for (const count of [1, 2]) {
      const clock = new Clock();
      const network = new MemoryNetwork(clock);
      const max = new Observable<number>((to) => {
        for (let i = 0; i < count; i++) to.next(i);
        queueMicrotask(() => {
          subscription.unsubscribe();
          to.next(9);
        });
      });
      const log = new Log();
      const source = listen(
        { port: 0 },
        { transport: network.transport, scheduler: clock, events: log, waiting: { max } },
      );
      const subscription = source.subscribe();
      await clock.settle();
      network.connect();
      await clock.settle();
      expect([network.listening, network.sockets.size, clock.actions]).toEqual([false, 0, []]);
    }
  });
});

describe('a limit that changes within a callback of the server', () => {
  it('holds at once: more are served when a connection opens, and none when one closes', async () => {
    const concurrency = new Subject<number>();
    const server = new TestServer(echo, { concurrency });
    concurrency.next(1);
    await server.clock.settle();
    const { next } = server.log;
    Object.assign(server.log, {
      next: (event: Parameters<typeof next>[0]) => {
        next(event);
        if (event.type === 'opened' && event.id < 4) concurrency.next(event.id + 1);
        if (event.type === 'closed') concurrency.next(1);
      },
    });
    const clients = await server.connectAll(6);
    expect(server.log.counters).toMatchObject({ active: 4, waiting: 2 });
    clients[0]?.end();
    await server.clock.settle();
    expect(server.log.counters).toMatchObject({ active: 3, waiting: 2 });
    server.log.subscription?.unsubscribe();
  });
});
