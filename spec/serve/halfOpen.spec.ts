// The effect of the peer's FIN with `halfOpen: false`, and that by default it only ends the input.
import { once } from 'node:events';
import {
  firstValueFrom,
  ignoreElements,
  interval,
  map,
  merge,
  mergeMap,
  NEVER,
  Observable,
  type Subscription,
  timer,
  toArray,
} from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import { broadcast } from '../../lib/flow/broadcast.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { relay } from '../../lib/flow/relay.ts';
import { lines } from '../../lib/framing/lines.ts';
import { listen } from '../../lib/listen/listen.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { clockOf } from '../support/internals.ts';
import { Log } from '../support/log.ts';
import { dialTo, readAll } from '../support/sockets.ts';
import { TestServer } from '../support/testServer.ts';

const NOT_HALF_OPEN: ServeOptions = {
  halfOpen: false,
  idle: Number.POSITIVE_INFINITY,
  greeting: Number.POSITIVE_INFINITY,
};

const ticks = (connection: Connection) => interval(100, clockOf(connection)).pipe(map((count) => `${count}\n`));
const after = (ms: number, connection: Connection, text: string) =>
  firstValueFrom(timer(ms, clockOf(connection)).pipe(map(() => `${text}\n`)));
const ignored = (connection: Connection) => connection.pipe(ignoreElements());

/** Connects, sends a text and a FIN, and lets the server handle both. */
async function leave(handler: Handler, text: string, options: ServeOptions = NOT_HALF_OPEN) {
  const server = await TestServer.open(handler, options);
  const client = await server.connect();
  if (text !== '') client.write(text);
  await server.clock.settle();
  client.end();
  await server.clock.settle();
  return { server, client };
}

describe('with halfOpen false', () => {
  const hot: [name: string, handler: Handler][] = [
    ['a source merged with the input', (connection) => merge(ticks(connection), ignored(connection))],
    ['a broadcast that reads nothing', (connection) => broadcast().to(connection)],
    ['a source that reads nothing', (connection) => ticks(connection)],
    ['a promise that is never resolved', () => new Promise<void>(() => {})],
  ];
  it.each(hot)("the peer's FIN ends %s, and the connection closes with a FIN as `ended`", async (_, handler) => {
    const { server, client } = await leave(handler, '');
    expect([server.log.closes, client.ended, client.reset]).toEqual([['ended'], true, false]);
  });

  it('unsubscribes from the handler at once, and sends the FIN when all output is flushed', async () => {
    let stopped = 0;
    const handler: Handler = (connection) =>
      merge(new Observable<string>(() => () => stopped++), connection.pipe(map(() => 'x'.repeat(50_000))));
    const server = await TestServer.open(handler, NOT_HALF_OPEN);
    const client = await server.connect({ window: 1000 });
    client.pause();
    client.write('?').end();
    await server.clock.settle();
    expect([stopped, server.log.closes, client.ended]).toEqual([1, [], false]);
    client.resume();
    await server.clock.settle();
    expect([server.log.closes, client.ended, client.text.length]).toEqual([['ended'], true, 50_000]);
    expect(server.log.of('closed')[0]).toMatchObject({ bytesOut: 50_000, unsent: 0 });
  });

  it.each([1, 2, 8])('answers every request of an exchange before it ends, %i at a time', async (concurrency) => {
    const answers = exchange(lines(), (line, connection) => after(Number(line), connection, line), { concurrency });
    const handler: Handler = (connection) => merge(answers(connection), NEVER);
    const { server, client } = await leave(handler, '300\n100\n200\n');
    await server.clock.advance(299);
    expect([server.log.closes, client.text]).toEqual([[], '']);
    await server.clock.advance(301);
    expect([server.log.closes, client.text]).toEqual([['ended'], '300\n100\n200\n']);
  });

  it('sends replies that are queued for a slow peer before it ends', async () => {
    const long = (line: string) => [line.repeat(3000), line.repeat(3000), '\n'];
    const reply = (line: string, connection: Connection) =>
      timer(100, clockOf(connection)).pipe(mergeMap(() => long(line)));
    const answers = exchange(lines(), reply, { concurrency: 8 });
    const server = await TestServer.open((connection) => merge(answers(connection), NEVER), {
      ...NOT_HALF_OPEN,
      highWaterMark: 1000,
    });
    const client = await server.connect({ window: 1000 });
    client.pause();
    client.write('a\nb\n').end();
    await server.clock.advance(1000);
    expect(server.log.closes).toEqual([]);
    client.resume();
    await server.clock.advance(1000);
    expect([server.log.closes, client.text]).toEqual([['ended'], `${'a'.repeat(6000)}\n${'b'.repeat(6000)}\n`]);
  });

  it('changes nothing for a handler that completes with its input', async () => {
    const { server, client } = await leave(
      (c) =>
        c.pipe(
          lines(),
          map((line) => `${line}!\n`),
        ),
      'a\nb\nc\n',
    );
    expect([server.log.closes, client.text]).toEqual([['ended'], 'a!\nb!\nc!\n']);
  });

  it('lets the body of a loop finish, and flushes what is written after the loop', async () => {
    const handler: Handler = async (connection) => {
      for await (const line of connection.pipe(lines())) await connection.write(await after(100, connection, line));
      await connection.write('bye\n');
      await new Promise(() => {});
    };
    const { server, client } = await leave(handler, 'a\nb\n');
    await server.clock.advance(199);
    expect([server.log.closes, client.text]).toEqual([[], 'a\n']);
    await server.clock.advance(1);
    expect([server.log.closes, client.text]).toEqual([['ended'], 'a\nb\nbye\n']);
  });

  it('ends a loop that waits for the next frame', async () => {
    const handler: Handler = async (connection) => {
      for await (const line of connection.pipe(lines())) await connection.write(`${line}\n`);
      await new Promise(() => {});
    };
    const { server, client } = await leave(handler, 'a\n');
    expect([server.log.closes, client.text]).toEqual([['ended'], 'a\n']);
  });

  it('sends the value that a generator is producing, and requests no other', async () => {
    let returned = false;
    const handler: Handler = async function* (connection) {
      try {
        for (let count = 0; ; count++) yield await after(100, connection, `${count}`);
      } finally {
        returned = true;
      }
    };
    const { server, client } = await leave(handler, '');
    await server.clock.advance(99);
    expect([server.log.closes, client.text, returned]).toEqual([[], '', false]);
    await server.clock.advance(1);
    expect([server.log.closes, client.text, returned]).toEqual([['ended'], '0\n', true]);
  });

  it('does not resume a generator that yields without waiting', async () => {
    let calls = 0;
    const handler: Handler = function* () {
      for (;;) {
        calls++;
        yield calls % 100 === 0 ? 'x' : undefined;
      }
    };
    const server = serve({ port: 0, host: '127.0.0.1' }, handler, NOT_HALF_OPEN);
    const log = Log.follow(server);
    running.push(log.subscription as Subscription);
    const socket = dialTo(await log.whenListening());
    socket.end();
    await readAll(socket);
    await log.whenEmitted('closed');
    const before = calls;
    await new Promise((resolve) => setImmediate(resolve));
    expect([log.closes, calls]).toEqual([['ended'], before]);
  });

  it('finishes a generator that loops over the frames', async () => {
    const handler: Handler = async function* (connection) {
      for await (const line of connection.pipe(lines())) {
        yield await after(100, connection, line);
        yield await after(100, connection, line);
      }
      yield 'bye\n';
    };
    const { server, client } = await leave(handler, 'a\nb\n');
    await server.clock.advance(399);
    expect(server.log.closes).toEqual([]);
    await server.clock.advance(1);
    expect([server.log.closes, client.text]).toEqual([['ended'], 'a\na\nb\nb\nbye\n']);
  });

  it('lets a generator finish its loop over a value that is emitted at the end of the input', async () => {
    const handler: Handler = async function* (connection) {
      for await (const all of connection.pipe(lines(), toArray())) {
        yield `${all.length}\n`;
        yield await after(100, connection, 'b');
        yield await after(100, connection, 'c');
      }
    };
    const { server, client } = await leave(handler, 'a\n');
    await server.clock.advance(200);
    expect([server.log.closes, client.text]).toEqual([['ended'], '1\nb\nc\n']);
  });

  it('does not resume a generator whose value is still in the queue', async () => {
    let calls = 0;
    const handler: Handler = async function* (connection) {
      for (;;) {
        calls++;
        yield await after(100, connection, 'x'.repeat(100_000));
      }
    };
    const server = await TestServer.open(handler, NOT_HALF_OPEN);
    const client = await server.connect({ window: 1000 });
    client.pause();
    client.end();
    await server.clock.advance(200);
    expect(server.log.closes).toEqual([]);
    client.resume();
    await server.clock.advance(200);
    expect([server.log.closes, client.text.length, calls]).toEqual([['ended'], 100_001, 1]);
  });

  it('completes the input of a generator that begins to read after the FIN', async () => {
    const handler: Handler = async function* (connection) {
      yield await after(100, connection, 'hello').then(async (text) => {
        for await (const line of connection.pipe(lines())) return `${line}\n`;
        return text;
      });
    };
    const { server, client } = await leave(handler, '');
    await server.clock.advance(100);
    expect([server.log.closes, client.text]).toEqual([['ended'], 'hello\n']);
  });

  it('delivers the bytes before the FIN to a handler that begins to read after it', async () => {
    const handler: Handler = async (connection) => {
      await after(100, connection, '');
      for await (const line of connection.pipe(lines())) await connection.write(`${line}\n`);
    };
    const { server, client } = await leave(handler, 'a\nb\n');
    await server.clock.advance(99);
    expect(server.log.closes).toEqual([]);
    await server.clock.advance(1);
    expect([server.log.closes, client.text]).toEqual([['ended'], 'a\nb\n']);
  });

  it('does not wait for the inner sources of mergeMap', async () => {
    const handler: Handler = (c) =>
      c.pipe(
        lines(),
        mergeMap((line) => after(100, c, line)),
      );
    const { server, client } = await leave(handler, 'a\n');
    expect([server.log.closes, client.text]).toEqual([['ended'], '']);
  });

  it('lets a relay send the answer of its backend', async () => {
    const front: Handler = (connection) => {
      const scheduler = clockOf(connection);
      const backend = new MemoryNetwork(scheduler);
      const inMemory = { transport: backend.transport, scheduler };
      const all: Handler = (c) =>
        c.pipe(
          toArray(),
          mergeMap(() => after(100, c, 'all')),
        );
      running.push(serve({ port: 0 }, all, inMemory).subscribe());
      return connect({ port: 1 }, { ...inMemory, halfOpen: false }).pipe(mergeMap((other) => relay(connection, other)));
    };
    const { server, client } = await leave(front, 'a\n');
    await server.clock.advance(99);
    expect([server.log.closes, client.text]).toEqual([[], '']);
    await server.clock.advance(1);
    expect([server.log.closes, client.text]).toEqual([['ended'], 'all\n']);
  });

  it('ends connections of connect and of listen as well', async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const options = { transport: network.transport, scheduler: clock, halfOpen: false };
    const closes: string[] = [];
    const recordClose = (side: string, connection: Connection) =>
      connection.closed.subscribe(({ reason }) => closes.push(`${side} ${reason}`));
    const hot = (connection: Connection) => merge(ticks(connection), ignored(connection)).pipe(connection.send());
    const served = listen({ port: 0 }, options).pipe(
      mergeMap((connection) => {
        recordClose('listen', connection);
        return hot(connection);
      }),
    );
    running.push(served.subscribe());
    await clock.settle();
    const connected: Connection[] = [];
    const client = connect({ port: 1 }, options).pipe(
      mergeMap((connection) => {
        recordClose('connect', connection);
        connected.push(connection);
        return hot(connection);
      }),
    );
    running.push(client.subscribe());
    await clock.advance(250);
    expect(closes).toEqual([]);
    connected[0]?.halfClose();
    await clock.settle();
    expect(closes.sort()).toEqual(['connect ended', 'listen ended']);
  });

  it('answers all requests on a real socket, and then sends a FIN', async () => {
    const answers = exchange(lines(), async (line) => {
      await new Promise((resolve) => setImmediate(resolve));
      return `${line}\n`;
    });
    const log = Log.follow(
      serve({ port: 0, host: '127.0.0.1' }, (connection) => merge(answers(connection), NEVER), NOT_HALF_OPEN),
    );
    running.push(log.subscription as Subscription);
    const socket = dialTo(await log.whenListening());
    const closed = once(socket, 'close');
    socket.end('a\nb\nc\n');
    expect((await readAll(socket)).toString()).toBe('a\nb\nc\n');
    expect(await closed).toEqual([false]);
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['ended']);
  });

  it('flushes on a real socket what is written after a loop', async () => {
    const handler: Handler = async (connection) => {
      for await (const line of connection.pipe(lines())) await connection.write(`${line}\n`);
      await connection.write('bye\n');
      await new Promise(() => {});
    };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, NOT_HALF_OPEN));
    running.push(log.subscription as Subscription);
    const socket = dialTo(await log.whenListening());
    await once(socket, 'connect');
    socket.write('a\n');
    await once(socket, 'readable');
    socket.end();
    expect((await readAll(socket)).toString()).toBe('a\nbye\n');
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['ended']);
  });
});

const running: Subscription[] = [];
afterEach(() => {
  for (const subscription of running.splice(0)) subscription.unsubscribe();
});

it.each([{}, { halfOpen: true }])("continues to send after the peer's FIN with %j", async (options) => {
  const handler: Handler = (connection) => merge(ticks(connection), ignored(connection));
  const { server, client } = await leave(handler, '', { ...NOT_HALF_OPEN, halfOpen: undefined, ...options });
  await server.clock.advance(300);
  expect([server.log.closes, client.text]).toEqual([[], '0\n1\n2\n']);
});

it('serve and connect throw on call for a halfOpen that is not a boolean', () => {
  expect(() => serve({ port: 0 }, () => NEVER, { halfOpen: 'no' as never })).toThrow('halfOpen must be');
  expect(() => connect({ port: 1 }, { halfOpen: 0 as never })).toThrow('halfOpen must be');
});
