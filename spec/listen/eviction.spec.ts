import { NEVER, Subject, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { ConnectionView } from '../../lib/events.ts';
import { exchange, lines } from '../../lib/index.ts';
import { Eviction } from '../../lib/listen/eviction.ts';
import { Registry } from '../../lib/listen/registry.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { accepting } from '../support/accepting.ts';
import { Clock } from '../support/clock.ts';
import { TestServer } from '../support/testServer.ts';

const echo: Handler = (connection) => connection;

/** A server with three places, and clients that have spoken in this order. */
async function full(options: ServeOptions, handler: Handler = echo, over?: (network: Transport) => Transport) {
  const server = await TestServer.open(handler, { concurrency: 3, overflow: 'evict', ...options }, over);
  const clients = [];
  for (let i = 0; i < 3; i++) {
    clients.push(await server.connect());
    await server.clock.advance(10);
  }
  return { server, clients };
}

const evicted = (server: TestServer) => server.log.of('closed').map(({ id, reason }) => `${id} ${reason}`);

describe('a full server that evicts', () => {
  it('closes the connection that has been idle longest, in good order, and serves the new one', async () => {
    const { server, clients } = await full({});
    clients[0]?.write('hello');
    await server.clock.settle();
    const next = await server.connect();
    expect([clients[1]?.ended, clients[1]?.reset]).toEqual([true, false]);
    clients[1]?.end();
    next.write('hi');
    await server.clock.settle();
    expect([evicted(server), next.text, server.log.refusals]).toEqual([['2 evicted'], 'hi', []]);
  });

  it('waits for a place where the client does not close, for the grace at most', async () => {
    const { server } = await full({ grace: 200, linger: 60_000 });
    const next = await server.connect();
    await server.clock.advance(199);
    expect([evicted(server), server.log.counters.waiting]).toEqual([[], 1]);
    await server.clock.advance(1);
    expect([evicted(server), server.log.counters.waiting]).toEqual([['1 evicted'], 0]);
    expect(next.over).toBe(false);
  });

  it('closes none with a request in progress, or with output or input that is not done; the new one waits for that', async () => {
    const replies = new Subject<string>();
    const handler = exchange(lines(), () => replies.pipe(take(1)));
    const { server, clients } = await full({ frame: 60_000 }, handler);
    for (const client of clients.slice(0, 2)) client.write('request\n');
    clients[2]?.write('half a request');
    const next = await server.connect();
    await server.clock.advance(300);
    expect([evicted(server), server.log.counters.waiting, next.over]).toEqual([[], 1, false]);
    const { connections = [] } = server.log.of('listening')[0] ?? {};
    expect([...connections].map(({ isDraining }) => isDraining)).toEqual([false, false, false]);
    replies.next('reply\n');
    await server.clock.advance(50);
    clients[0]?.end();
    await server.clock.settle();
    expect([evicted(server), clients[0]?.text]).toEqual([['1 evicted'], 'reply\n']);
  });

  it('lets the one that its comparator chose finish its request', async () => {
    const replies = new Subject<string>();
    const handler = exchange(lines(), () => replies.pipe(take(1)));
    const evict = (a: ConnectionView, b: ConnectionView) => b.id - a.id;
    const { server, clients } = await full({ overflow: { evict } }, handler);
    for (const client of clients) client.write('request\n');
    await server.connect();
    expect([evicted(server), clients[2]?.over]).toEqual([[], false]);
    replies.next('reply\n');
    await server.clock.settle();
    clients[2]?.end();
    await server.clock.settle();
    expect([evicted(server), clients.map(({ text }) => text)]).toEqual([['3 evicted'], Array(3).fill('reply\n')]);
  });

  it('closes one whose handler never completes within half of the wait, and serves the new one', async () => {
    const { server, clients } = await full({ waiting: { timeout: 1000 } }, () => NEVER);
    const next = await server.connect();
    expect([clients[0]?.over, server.log.counters.waiting]).toEqual([false, 1]);
    await server.clock.advance(499);
    expect([evicted(server), server.log.counters.waiting]).toEqual([[], 1]);
    await server.clock.advance(1);
    clients[0]?.end();
    await server.clock.settle();
    expect([evicted(server), server.log.counters.waiting, next.over]).toEqual([['1 evicted'], 0, false]);
    await server.clock.advance(1000);
    expect(server.log.refusals).toEqual([]);
  });

  it('closes one in the time that is left of the wait, where it is found late', async () => {
    const replies = new Subject<string>();
    const handler = exchange(lines(), () => replies.pipe(take(1)));
    const { server, clients } = await full({ waiting: { timeout: 1000 }, linger: 60_000 }, handler);
    for (const client of clients) client.write('request\n');
    const next = await server.connect();
    await server.clock.advance(700);
    replies.next('reply\n');
    await server.clock.advance(299);
    expect([evicted(server), server.log.refusals, next.over]).toEqual([['1 evicted'], [], false]);
  });

  it('closes none for a new one that has left before it waits', async () => {
    const leavers = (network: Transport) =>
      accepting(network, (socket, accept) => {
        // It has sent a RST that is not read yet.
        if (socket.peer.address === 'leaver') Object.defineProperty(socket, 'alive', { value: false });
        accept(socket);
      });
    const { server, clients } = await full({}, echo, leavers);
    for (let i = 0; i < 20; i++) await server.connect({ address: { address: 'leaver', port: 1 } });
    await server.clock.advance(200);
    expect([server.log.refusals, evicted(server), clients.some(({ over }) => over)]).toEqual([
      Array(20).fill('gone'),
      [],
      false,
    ]);
    await server.connect();
    expect(clients.map(({ over }) => over)).toEqual([true, false, false]);
  });

  it('evicts as many as wait, and one that waits at least, though none may', async () => {
    const { server, clients } = await full({ waiting: { max: 0 } });
    await server.connectAll(3);
    expect([server.log.refusals, clients.filter(({ ended }) => ended).length]).toEqual([['full', 'full'], 1]);
    const other = await full({});
    await other.server.connectAll(2);
    expect(other.clients.map(({ ended }) => ended)).toEqual([true, true, false]);
  });
});

describe('the comparator of the user', () => {
  it('decides by what the connections are worth now, and not at the last look', async () => {
    const evict = (a: ConnectionView, b: ConnectionView) => a.bytesIn - b.bytesIn;
    const { server, clients } = await full({ overflow: { evict } });
    clients.forEach((client, n) => {
      client.write('x'.repeat([10, 20, 300][n] ?? 0));
    });
    const replace = async (leaving: number) => {
      const next = server.network.connect().write('x'.repeat(5000));
      await server.clock.settle();
      clients[leaving]?.end();
      await server.clock.settle();
      expect(next.taken).toBe(5000);
    };
    await replace(0);
    expect(evicted(server)).toEqual(['1 evicted']);
    // At the last look this one was worth least but one.
    clients[1]?.write('x'.repeat(1000));
    await server.clock.advance(10);
    await replace(2);
    expect(evicted(server)).toEqual(['1 evicted', '3 evicted']);
  });

  it('is called about once for each connection where all are worth the same', async () => {
    let calls = 0;
    const evict = () => {
      calls++;
      return 0;
    };
    const server = await TestServer.open(echo, {
      concurrency: 500,
      overflow: { evict },
      perAddress: { connections: Number.POSITIVE_INFINITY },
    });
    await server.connectAll(500);
    expect(calls).toBe(0);
    const next = await server.connect();
    expect(calls).toBeGreaterThan(400);
    expect(calls).toBeLessThan(1500);
    // Further newcomers of this moment cause no further look.
    const before = calls;
    await server.connectAll(10);
    expect([calls - before, next.over]).toEqual([0, false]);
  });

  it('that fails is called again once a second while connections wait, however many come', async () => {
    const evict = () => {
      throw new Error('cannot compare');
    };
    const { server } = await full({ overflow: { evict }, waiting: { timeout: 60_000 } });
    const failures: number[] = [];
    for (let i = 0; i < 50; i++) {
      await server.connect();
      failures.push(server.log.of('failed').length);
      await server.clock.advance(50);
    }
    // At 0, 1000 and 2000 ms.
    const expected = Array.from({ length: 50 }, (_, i) => 1 + Math.floor((i * 50) / 1000));
    expect(failures).toEqual(expected);
    expect(server.log.counters).toMatchObject({ active: 3, waiting: 50, refused: 0 });
  });

  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('cannot compare');
      },
      'cannot compare',
    ],
    ['returns NaN', () => Number.NaN, 'the comparator must return a number, not NaN'],
    ['returns nothing', () => undefined, 'not undefined'],
    ['returns a boolean', () => true, 'not true'],
    ['returns a symbol', () => Symbol('x'), 'not Symbol(x)'],
  ])('that %s evicts none, which is a `failed` event; the new one waits', async (_what, evict, message) => {
    const { server } = await full({ overflow: { evict: evict as () => number }, waiting: { timeout: 100 } });
    await server.connect();
    expect([evicted(server), server.log.counters.waiting]).toEqual([[], 1]);
    expect(String(server.log.of('failed')[0]?.error)).toContain(message);
    expect(server.log.of('failed')[0]?.callback).toBe('evict');
    await server.clock.advance(200);
    expect([server.log.refusals, server.log.counters.active]).toEqual([['timeout'], 3]);
    const failures = server.log.of('failed').length;
    await server.clock.advance(1000);
    expect(server.log.of('failed')).toHaveLength(failures);
  });

  it.each<[string, (one: ConnectionView) => void]>([
    ['aborts', (one) => one.abort()],
    ['ends', (one) => one.end()],
    ['drains', (one) => one.drain()],
  ])('that %s the connections that it compares leaves nothing behind', async (_what, act) => {
    const evict = (a: ConnectionView, b: ConnectionView) => {
      act(a);
      act(b);
      return a.id - b.id;
    };
    const { server, clients } = await full({ overflow: { evict }, grace: 500 });
    const next = await server.connect();
    for (const client of clients) client.end();
    await server.clock.settle();
    next.write('hello');
    await server.clock.settle();
    expect([next.text, server.log.counters.waiting]).toEqual(['hello', 0]);
    expect(server.log.closes).not.toContain('evicted');
    next.end();
    await server.clock.settle();
    expect(server.log.counters.active).toBe(0);
    // Then no timer of a closed connection is left either.
    server.log.subscription?.unsubscribe();
    await server.clock.settle();
    expect([server.network.sockets.size, server.clock.actions]).toEqual([0, []]);
  });
});

it('does not wait for a connection that its comparator closed at once', () => {
  const calls: string[] = [];
  const make = (id: number) => ({ id, over: false, isDraining: false, evict: () => calls.push(`evict ${id}`) });
  const connections = [make(1), make(2), make(3)];
  const worth = (a: ConnectionView, b: ConnectionView) => {
    const [first] = connections;
    if (first && !first.over) {
      first.over = true;
      eviction.closed(first as unknown as SocketConnection);
    }
    return a.id - b.id;
  };
  const eviction: Eviction = new Eviction({
    clock: new Clock(),
    registry: { connections: Object.assign(connections, { has: () => true }) } as unknown as Registry,
    worth,
    waiting: () => 1,
    patience: () => 5000,
    isFull: () => true,
    failed: (error) => expect.fail(String(error)),
  });
  eviction.makeRoom();
  expect(calls).toEqual(['evict 2']);
  eviction.close();
});

it('evicts none while a place is free, however many wait', () => {
  const failed = (error: unknown) => expect.fail(String(error));
  const options = {
    clock: new Clock(),
    registry: new Registry(),
    worth: undefined,
    waiting: () => 5,
    patience: () => 5000,
    failed,
  };
  const registry = {
    get connections() {
      return expect.unreachable();
    },
  } as unknown as Registry;
  const eviction = new Eviction({ ...options, registry, isFull: () => false });
  eviction.makeRoom();
  eviction.close();
  expect(options.clock.actions).toEqual([]);
});
