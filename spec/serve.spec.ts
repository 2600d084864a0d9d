import {
  concatMap,
  defer,
  delay,
  EMPTY,
  finalize,
  firstValueFrom,
  from,
  identity,
  map,
  NEVER,
  of,
  Subject,
  takeUntil,
  takeWhile,
  timer,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../lib/connection/connection.ts';
import { exchange } from '../lib/flow/exchange.ts';
import { lines } from '../lib/framing/lines.ts';
import { type Handler, serve } from '../lib/serve.ts';
import { MemoryNetwork } from '../lib/testing/index.ts';
import { Clock } from './support/clock.ts';
import { clockOf } from './support/internals.ts';
import { Log } from './support/log.ts';
import { TestServer } from './support/testServer.ts';

const shout = lines();

describe('serve', () => {
  it('emits its events in order', async () => {
    const server = await TestServer.open((connection) =>
      connection.pipe(
        shout,
        map((line) => `${line.toUpperCase()}\n`),
      ),
    );
    const client = await server.connect();
    client.write('hello\nwor').write('ld\n');
    await server.clock.advance(5);
    expect(client.text).toBe('HELLO\nWORLD\n');
    client.end();
    await server.clock.settle();
    expect(client.ended).toBe(true);
    await server.signal();
    expect(server.log.completed).toBe(true);
    expect(server.log.events).toMatchObject([
      { type: 'listening', address: { address: 'memory', port: 0 } },
      { type: 'opened', id: 1, peer: { address: '127.0.0.1', port: 49152 }, waited: 0 },
      { type: 'closed', id: 1, reason: 'ended', bytesIn: 12, bytesOut: 12, unsent: 0, duration: 5 },
      { type: 'draining', active: 0, waiting: 0 },
      { type: 'drained', drained: 0, aborted: 0, refused: 0, unsent: 0, duration: 0 },
    ]);
    expect(server.network.sockets.size).toBe(0);
    expect(server.clock.actions).toEqual([]);
  });

  it('opens no port before it is subscribed to, and one for each subscription', async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const server = serve({ port: 0 }, identity, { transport: network.transport, scheduler: clock });
    await clock.settle();
    expect(network.listening).toBe(false);
    const first = Log.follow(server);
    const second = Log.follow(server);
    await clock.settle();
    expect(first.types).toEqual(['listening']);
    expect(second.fault).toMatchObject({ code: 'EADDRINUSE' });
    expect(first.fault).toBeUndefined();
    first.subscription?.unsubscribe();
    expect(network.listening).toBe(false);
  });

  it('with 3 slots and room for 2 refuses 5 of 10, and serves the one that waited longest when a slot is free', async () => {
    const server = await TestServer.open(identity, { concurrency: 3, waiting: { max: 2 } });
    const clients = await server.connectAll(10);
    expect(server.log.of('opened').map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(server.log.of('refused').map(({ id, reason, waited }) => [id, reason, waited])).toEqual(
      [6, 7, 8, 9, 10].map((id) => [id, 'full', 0]),
    );
    expect(clients.map(({ over }) => over)).toEqual([...Array(5).fill(false), ...Array(5).fill(true)]);
    expect(server.log.counters).toMatchObject({ waiting: 2, active: 3, refused: 5 });
    await server.clock.advance(100);
    clients[1]?.end();
    await server.clock.settle();
    expect(server.log.events.slice(-2)).toMatchObject([
      { type: 'closed', id: 2, reason: 'ended' },
      { type: 'opened', id: 4, waited: 100 },
    ]);
  });

  it('refuses a connection that waits too long', async () => {
    const server = await TestServer.open(identity, {
      concurrency: 1,
      waiting: { timeout: 1000 },
      idle: 60_000,
      greeting: 60_000,
    });
    await server.connectAll(3);
    await server.clock.advance(999);
    expect(server.log.refusals).toEqual([]);
    await server.clock.advance(1);
    expect(server.log.of('refused')).toMatchObject([
      { id: 2, reason: 'timeout', waited: 1000 },
      { id: 3, reason: 'timeout', waited: 1000 },
    ]);
  });

  it('serves the next connection when those in the buffer of mergeMap were refused meanwhile', async () => {
    const server = await TestServer.open(identity, { concurrency: 1, waiting: { max: 0 } });
    const first = await server.connect();
    await server.connect();
    first.end();
    await server.clock.settle();
    const third = await server.connect();
    third.write('echo');
    await server.clock.settle();
    expect(server.log.refusals).toEqual(['full']);
    expect(third.text).toBe('echo');
  });

  it('sends a farewell to refused connections, which use no slot', async () => {
    const server = await TestServer.open(identity, { concurrency: 1, waiting: { max: 1 }, farewell: 'try later\n' });
    const [first, waits, refused] = await server.connectAll(3);
    await server.clock.settle();
    expect(refused?.text).toBe('try later\n');
    expect(refused?.ended).toBe(true);
    expect(server.log.counters).toMatchObject({ active: 1, waiting: 1, refused: 1 });
    await server.clock.advance(100);
    expect(server.network.sockets.size).toBe(2);
    first?.end();
    waits?.write('hello');
    await server.clock.settle();
    expect(waits?.text).toBe('hello');
  });

  it('never runs more handlers than its concurrency, also when one ends and the next begins', async () => {
    let running = 0;
    let most = 0;
    const handler = (connection: import('../lib/index.ts').Connection) =>
      defer(() => {
        most = Math.max(most, ++running);
        return connection.pipe(finalize(() => running--));
      });
    const server = await TestServer.open(handler, { concurrency: 7, waiting: { max: 1000 } });
    const clients = await server.connectAll(100);
    for (const client of clients) {
      client.end();
      await server.clock.settle();
      expect(server.log.counters.active).toBeLessThanOrEqual(7);
    }
    expect(most).toBe(7);
    expect(running).toBe(0);
    expect(server.log.closes).toEqual(Array(100).fill('ended'));
  });

  describe('deadlines', () => {
    it('closes a connection that is silent for `idle`, from the last byte in either direction', async () => {
      const late = new Subject<string>();
      const server = await TestServer.open(() => late, { idle: 1000, greeting: Number.POSITIVE_INFINITY });
      const client = await server.connect();
      await server.clock.advance(900);
      late.next('still there?');
      await server.clock.advance(999);
      expect(server.log.closes).toEqual([]);
      await server.clock.advance(1);
      client.end();
      await server.clock.settle();
      expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'idle', duration: 1900 }]);
      expect(server.log.of('failed')).toEqual([]);
    });

    it('closes a connection whose peer sends nothing within `greeting`', async () => {
      const server = await TestServer.open(identity, { greeting: 500 });
      const [silent, speaks] = await server.connectAll(2);
      speaks?.write('x');
      await server.clock.advance(500);
      silent?.end();
      await server.clock.settle();
      expect(server.log.of('closed')).toMatchObject([
        { id: 1, reason: 'deadline', deadline: 'greeting', duration: 500 },
      ]);
    });

    it('closes a connection whose peer takes longer than `frame` for a frame', async () => {
      const server = await TestServer.open((connection) => connection.pipe(shout), { frame: 1000 });
      const client = await server.connect();
      for (let drip = 0; drip < 10; drip++) {
        client.write('x');
        await server.clock.advance(100);
      }
      client.end();
      await server.clock.settle();
      expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'frame', duration: 1000 }]);
    });

    it('aborts a connection whose peer takes nothing of the output for `stall`', async () => {
      const server = await TestServer.open(() => from(['x'.repeat(100_000)]), { stall: 2000 });
      server.network.connect({ window: 10 }).pause();
      await server.clock.advance(1999);
      expect(server.log.closes).toEqual([]);
      await server.clock.advance(1);
      expect(server.log.of('closed')).toMatchObject([
        { reason: 'slow-consumer', deadline: 'stall', duration: 2000, bytesOut: 10, unsent: 99_990 },
      ]);
    });

    it.each([
      [0, 10_000],
      [0.5, 9_000],
      [1, 8_000],
    ])(
      'asks a connection to finish at the end of its lifetime, which is shorter by a random share (%f)',
      async (chance, ends) => {
        const options = { lifetime: 10_000, jitter: 0.2, random: () => chance, idle: 60_000, greeting: 60_000 };
        const server = await TestServer.open(identity, options);
        const client = await server.connect();
        await server.clock.advance(ends - 1);
        expect(client.ended).toBe(false);
        await server.clock.advance(1);
        expect(client.ended).toBe(true);
        client.end();
        await server.clock.settle();
        expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'lifetime', duration: ends }]);
      },
    );

    it('aborts a connection that does not finish within the grace after its lifetime', async () => {
      const options = { lifetime: 1000, jitter: 0, grace: 500, idle: 60_000, greeting: 60_000 };
      const server = await TestServer.open(() => NEVER, options);
      await server.connect();
      await server.clock.advance(1499);
      expect(server.log.closes).toEqual([]);
      await server.clock.advance(1);
      expect(server.log.closes).toEqual(['lifetime']);
    });

    it('keeps a connection with an infinite lifetime open, whatever the jitter', async () => {
      const forever = Number.POSITIVE_INFINITY;
      const options = { jitter: 1, random: () => 1, idle: forever, greeting: forever };
      const server = await TestServer.open(identity, options);
      const client = await server.connect();
      await server.clock.advance(1e6);
      expect(client.over).toBe(false);
      expect(server.clock.actions).toEqual([]);
    });
  });

  describe('unsubscribed', () => {
    it('closes the port, aborts and refuses connections, and cancels timers', async () => {
      let running = 0;
      const handler = () => {
        running++;
        return NEVER.pipe(finalize(() => running--));
      };
      const server = await TestServer.open(handler, { concurrency: 2 });
      const clients = await server.connectAll(5);
      expect(running).toBe(2);
      server.log.subscription?.unsubscribe();
      expect(running).toBe(0);
      const emitted = server.log.events.length;
      await server.clock.settle();
      expect(server.network.listening).toBe(false);
      expect(clients.map(({ reset }) => reset)).toEqual([true, true, false, false, false]);
      expect(clients.every(({ over }) => over)).toBe(true);
      expect(server.network.sockets.size).toBe(0);
      expect(server.shutdown.observed).toBe(false);
      expect(server.log.events).toHaveLength(emitted);
      await server.clock.advance(1e6);
      expect(server.clock.actions).toEqual([]);
    });

    it('in the `opened` event, runs no handler', async () => {
      let begun = 0;
      const clock = new Clock();
      const network = new MemoryNetwork(clock);
      const handler = () => {
        begun++;
        return NEVER;
      };
      serve({ port: 0 }, handler, { transport: network.transport, scheduler: clock })
        .pipe(takeWhile(({ type }) => type !== 'opened'))
        .subscribe();
      await clock.settle();
      const client = network.connect();
      await clock.settle();
      expect([begun, client.reset, network.sockets.size]).toEqual([0, true, 0]);
    });

    it('serves no waiting connection in the slot of one that is open only for its unread input', async () => {
      const begun: number[] = [];
      const server = await TestServer.open(
        async (connection) => {
          begun.push(connection.id);
          await connection.pipe(lines())[Symbol.asyncIterator]().next();
          connection.halfClose();
          await new Promise(() => {});
        },
        { concurrency: 1 },
      );
      const client = await server.connect();
      client.write('one\n').end();
      await server.clock.settle();
      await server.connect();
      server.log.subscription?.unsubscribe();
      await server.clock.settle();
      expect([begun, server.network.sockets.size]).toEqual([[1], 0]);
    });

    it('in the middle of a drain, leaves no timer', async () => {
      const server = await TestServer.open(() => NEVER);
      await server.connectAll(2);
      await server.signal();
      server.log.subscription?.unsubscribe();
      await server.clock.advance(200_000);
      expect(server.clock.actions).toEqual([]);
      expect(server.log.of('drained')).toEqual([]);
    });
  });

  describe('validates on call', () => {
    const network = new MemoryNetwork();
    const open = (options: object) => () => serve({ port: 0 }, identity, { transport: network.transport, ...options });
    it.each([
      [{ concurrency: 0 }, RangeError],
      [{ concurrency: '5' }, TypeError],
      [{ grace: -1 }, RangeError],
      [{ jitter: 2 }, RangeError],
      [{ idle: 0 }, RangeError],
      [{ greeting: 0 }, RangeError],
      [{ frame: 0 }, RangeError],
      [{ stall: 0 }, RangeError],
      [{ lifetime: 0 }, RangeError],
      [{ random: 0.5 }, TypeError],
      [{ shutdown: 5 }, TypeError],
      [{ events: new Subject() }, TypeError],
      [{ ahead: 2 }, TypeError],
      [{ concurency: 5 }, TypeError],
      [{ waiting: { timeout: Number.NaN } }, RangeError],
    ])('refuses %o', (options, kind) => {
      expect(open(options)).toThrow(kind);
      expect(open(options)).toThrow(/^Cannot serve: /);
    });

    it('refuses a handler that is no function', () => {
      expect(() => serve({ port: 0 }, 'echo' as never)).toThrow(TypeError);
      const nothing = Object.create(null);
      expect(() => serve({ port: 0 }, nothing)).toThrow('Cannot serve: the handler must be a function, not [Object');
    });

    it('names a shutdown that is a function, without its source', () => {
      const shutdown = function later() {} as never;
      const message = 'what RxJS can make one of, not [Function: later]';
      expect(() => serve({ port: 0 }, (connection) => connection, { shutdown })).toThrow(message);
    });
  });

  it('waits for replies that are emitted late, and keeps their order', async () => {
    const server = await TestServer.open((connection) =>
      connection.pipe(
        shout,
        concatMap((line) => of(`${line}\n`).pipe(delay(line.length, server.clock))),
      ),
    );
    const client = await server.connect();
    client.write('long\nx\n').end();
    await server.clock.advance(5);
    expect(client.text).toBe('long\nx\n');
    expect(client.ended).toBe(true);
    expect(server.log.closes).toEqual(['ended']);
  });

  it('goes on when its shutdown completes without a value', async () => {
    const server = await TestServer.open(identity, { shutdown: EMPTY });
    const client = await server.connect();
    client.write('on');
    await server.clock.settle();
    expect(client.text).toBe('on');
    server.log.subscription?.unsubscribe();
  });

  it('errors with the error of its shutdown', async () => {
    const shutdown = new Subject<void>();
    const server = await TestServer.open(identity, { shutdown });
    const client = await server.connect();
    shutdown.error(new Error('no more'));
    await server.clock.settle();
    expect(server.log.fault).toEqual(new Error('no more'));
    expect(client.reset).toBe(true);
    expect(server.network.listening).toBe(false);
  });

  it('sends a last message of a handler whose connection is asked to finish', async () => {
    const server = await TestServer.open((connection) =>
      connection.draining.pipe(
        map(() => 'goodbye\n'),
        takeUntil(connection.closed),
      ),
    );
    const client = await server.connect();
    await server.signal();
    expect(client.text).toBe('goodbye\n');
    expect(client.ended).toBe(true);
  });

  describe('a handler that waits for room in the output', () => {
    const piece = 'x'.repeat(1040);
    const some = async function* (connection: Connection) {
      const clock = clockOf(connection);
      for (let i = 0; i < 5; i++) {
        yield piece;
        await firstValueFrom(timer(1, clock));
      }
    };
    const waiting: [string, Handler][] = [
      ['a generator', some],
      [
        'an async function that awaits each write',
        async (connection) => {
          for await (const one of some(connection)) await connection.write(one);
        },
      ],
      ['an exchange with a generator', exchange(lines(), (line, connection) => (line === '1' ? some(connection) : ''))],
      ['an exchange with strings', exchange(lines(), () => piece)],
    ];

    it.each(waiting)('is never aborted for the length of its output: %s', async (_kind, handler) => {
      for (const limits of [
        { highWaterMark: 64, maxOutbound: 1050 },
        { highWaterMark: 1_000_000, maxOutbound: 1050 },
      ]) {
        const server = await TestServer.open(handler, limits);
        const client = await server.connect({ window: 1000 });
        client.pause();
        for (let i = 1; i <= 5; i++) {
          client.write(`${i}\n`);
          await server.clock.advance(1);
        }
        client.resume().end();
        await server.clock.advance(100);
        expect(server.log.of('closed')).toMatchObject([{ unsent: 0 }]);
        expect(server.log.of('closed')[0]?.error).toBe(undefined);
        expect(client.text).toBe(piece.repeat(5));
      }
    });
  });
});
