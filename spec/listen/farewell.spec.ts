import { BehaviorSubject } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { SocketConnection } from '../../lib/connection/socketConnection.ts';
import { Pace } from '../../lib/listen/pace.ts';
import type { RefusalInfo } from '../../lib/listen/refusal.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { accepting } from '../support/accepting.ts';
import { Clock } from '../support/clock.ts';
import { TestServer } from '../support/testServer.ts';

const echo: Handler = (connection) => connection;
const at = (address: string) => ({ address: { address, port: 1 } });

/** A server that tells each refused client why, and when it may come again. */
async function telling(options: ServeOptions) {
  const refusals: RefusalInfo[] = [];
  const farewell = (reason: string, refusal: RefusalInfo) => {
    expect(refusal.reason).toBe(reason);
    refusals.push(refusal);
    return `${reason} ${refusal.retryAfter}\n`;
  };
  const server = await TestServer.open(echo, { random: () => 0, farewell, ...options });
  return { server, refusals };
}

describe('a farewell that is a function', () => {
  it('is called with the reason, the peer and how long it waited', async () => {
    const { server, refusals } = await telling({ concurrency: 1, waiting: { timeout: 70 } });
    await server.connect();
    const client = await server.connect(at('10.0.0.1'));
    await server.clock.advance(70);
    expect(client.text).toBe('timeout undefined\n');
    expect(refusals).toEqual([
      { reason: 'timeout', peer: { address: '10.0.0.1', port: 1 }, waited: 70, retryAfter: undefined },
    ]);
  });

  it.each<[string, ServeOptions, string]>([
    ['full', { concurrency: 1, waiting: { max: 0 } }, 'full undefined\n'],
    ['denied', { deny: ['10.0.0.2'] }, 'denied undefined\n'],
    ['per-address', { perAddress: { connections: 1, prefix: { 4: 8 } } }, 'per-address undefined\n'],
    ['rate', { accepts: { perSecond: 0, burst: 1 } }, 'rate undefined\n'],
    [
      'rate-per-address',
      { accepts: { perAddress: { perSecond: 4, burst: 1 } }, perAddress: { prefix: { 4: 8 } } },
      'rate-per-address 250\n',
    ],
    [
      'a reason of `admit`',
      { admit: ({ address }) => address === '10.0.0.1' || 'closed today' },
      'closed today undefined\n',
    ],
  ])('is sent before a FIN also at accept: %s', async (_reason, options, text) => {
    const { server } = await telling(options);
    await server.connect(at('10.0.0.1'));
    const client = await server.connect(at('10.0.0.2'));
    expect([client.text, client.ended, client.reset]).toEqual([text, true, false]);
    // It lingers, as any refused connection.
    expect(server.network.sockets.size).toBe(2);
    await server.clock.advance(100);
    expect(server.network.sockets.size).toBe(1);
  });

  it('says when a rate allows one more', async () => {
    const { server, refusals } = await telling({
      accepts: { perSecond: 10, burst: 2, perAddress: { perSecond: 2, burst: 1 } },
    });
    for (const address of ['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.3']) await server.connect(at(address));
    await server.clock.advance(60);
    for (const address of ['10.0.0.1', '10.0.0.3']) await server.connect(at(address));
    expect(refusals.map(({ reason, retryAfter }) => [reason, retryAfter])).toEqual([
      ['rate-per-address', 500],
      ['rate', 100],
      ['rate-per-address', 440],
      ['rate', 40],
    ]);
    // A client that comes then is let in.
    await server.clock.advance(40);
    await server.connect(at('10.0.0.3'));
    expect(refusals).toHaveLength(4);
  });

  it('predicts the wait by the pace at which others found places, and adds up to a half at random', async () => {
    const random = vi.fn(() => 0);
    const { server, refusals } = await telling({ concurrency: 1, waiting: { max: 3, timeout: 60_000 }, random });
    // One place each 100 ms.
    const clients = await server.connectAll(4);
    for (let served = 0; served < 3; served++) {
      await server.clock.advance(100);
      clients[served]?.end();
      await server.clock.settle();
      clients.push(...(await server.connectAll(1)));
    }
    await server.connectAll(1);
    random.mockReturnValue(1);
    await server.connectAll(1);
    random.mockReturnValue(0.5);
    await server.connectAll(1);
    // Three wait, and the new one would be the fourth.
    expect(refusals.map(({ retryAfter }) => retryAfter)).toEqual([400, 600, 500]);
    // No place for longer than usual: the pace is at most that.
    random.mockReturnValue(0);
    await server.clock.advance(1000);
    await server.connectAll(1);
    expect(refusals.at(-1)?.retryAfter).toBe(4000);
  });

  it('may return nothing, and fails alone if it throws or returns no data', async () => {
    const results: (() => unknown)[] = [
      () => undefined,
      () => new Uint8Array([98, 121, 101]),
      () => {
        throw new Error('no farewell');
      },
      () => 5,
      () => Promise.resolve('x'),
    ];
    let calls = 0;
    const farewell = (() => results[calls++]?.()) as () => string;
    const server = await TestServer.open(echo, { farewell, concurrency: 1, waiting: { max: 0 } });
    await server.connect();
    const clients = await server.connectAll(5);
    expect(clients.map(({ text, ended }) => [text, ended])).toEqual(
      ['', 'bye', '', '', ''].map((text) => [text, true]),
    );
    expect(server.log.of('failed').map(({ id, callback }) => [id, callback])).toEqual(
      [4, 5, 6].map((id) => [id, 'farewell']),
    );
    expect(String(server.log.of('failed')[1]?.error)).toContain('must be a string or a Uint8Array, not 5');
    expect(server.log.refusals).toEqual(Array(5).fill('full'));
  });

  it('is not called for those that have left, or for which no descriptor is left', async () => {
    const { server, refusals } = await telling({ admit: () => 'gone' });
    await server.connectAll(3);
    expect([refusals, server.log.refusals, server.network.sockets.size]).toEqual([[], Array(3).fill('gone'), 0]);
  });
});

describe('a connection that is refused at accept and is sent nothing', () => {
  it.each<[string, ServeOptions]>([
    ['denied', { deny: ['10.0.0.0/8'] }],
    ['exhausted', { admit: () => 'exhausted', farewell: 'bye' }],
  ])('is counted and closed at once, and nothing is made for it: %s', async (reason, options) => {
    const handlers = new Set<unknown>();
    const observed = (network: Transport) =>
      accepting(network, (socket, accept) => {
        accept(socket);
        handlers.add(socket.handler);
      });
    const server = await TestServer.open(echo, { ...options, concurrency: 1 }, observed);
    const clients = [];
    for (let i = 0; i < 10; i++) clients.push(await server.connect(at('10.0.0.1')));
    expect(server.log.counters).toEqual({ accepted: 10, waiting: 0, active: 0, closed: 0, refused: 10 });
    expect(server.log.of('refused').map(({ id, waited }) => [id, waited])).toEqual(clients.map((_, n) => [n + 1, 0]));
    expect(server.log.of('listening')[0]?.refusals).toEqual(new Map([[reason, 10]]));
    expect([clients.every(({ over }) => over), server.network.sockets.size]).toEqual([true, 0]);
    expect(server.clock.actions).toEqual([]);
    // All of them have one handler.
    expect([handlers.size, handlers.values().next().value instanceof SocketConnection]).toEqual([1, false]);
  });
});

describe('the pace at which places become free', () => {
  function pace() {
    const clock = new Clock();
    return { clock, pace: new Pace(clock) };
  }

  it('is unknown before one has in a full server', () => {
    const { clock, pace: one } = pace();
    one.update(false);
    clock.jump(10);
    one.freed(false);
    expect(one.wait(1)).toBeUndefined();
    one.update(true);
    clock.jump(50);
    expect(one.wait(1)).toBeUndefined();
    one.freed(true);
    expect([one.wait(1), one.wait(3)]).toEqual([50, 150]);
  });

  it('follows a change within some dozen connections', () => {
    const { clock, pace: one } = pace();
    const repeat = (count: number, ms: number) => {
      for (let i = 0; i < count; i++) {
        one.update(true);
        clock.jump(ms);
        one.freed(false);
      }
    };
    repeat(50, 1000);
    expect(one.wait(1)).toBe(1000);
    repeat(60, 10);
    expect(one.wait(1)).toBeLessThan(20);
  });

  it('does not count the time in which places were free', () => {
    const { clock, pace: one } = pace();
    one.update(true);
    for (let i = 0; i < 3; i++) {
      clock.jump(10);
      one.freed(false);
      clock.jump(8 * 3_600_000);
      one.update(true);
    }
    expect(one.wait(1)).toBe(10);
    // The limit is raised.
    one.update(false);
    clock.jump(1e9);
    expect(one.wait(1)).toBe(10);
  });
});

it('the limit of an address in an event is the one that holds', async () => {
  const connections = new BehaviorSubject(1);
  const server = await TestServer.open(echo, { perAddress: { connections } });
  await server.connectAll(2);
  connections.next(2);
  await server.connectAll(2);
  expect(server.log.of('refused').map(({ limit }) => limit)).toEqual([1, 2]);
});

describe('a refusal as `per-address`', () => {
  /** A server with one place, which has become free once, after 100 ms: so the pace is known. */
  const paced = async (options: ServeOptions) => {
    const { server, refusals } = await telling({ concurrency: 1, waiting: { timeout: 60_000 }, ...options });
    const first = await server.connect(at('10.0.0.9'));
    await server.connect(at('10.0.0.8'));
    await server.clock.advance(100);
    first.end();
    await server.clock.settle();
    return { server, refusals };
  };

  it('says nothing of a place that becomes free if the address has a fixed limit', async () => {
    const { server, refusals } = await paced({ perAddress: { connections: 1 }, waiting: { max: 1 } });
    await server.connect(at('10.0.0.8'));
    await server.connect(at('10.0.0.1'));
    await server.connect(at('10.0.0.2'));
    expect(refusals.map(({ reason, retryAfter }) => [reason, retryAfter])).toEqual([
      ['per-address', undefined],
      ['full', 200],
    ]);
    expect(server.log.of('refused').map(({ limit }) => limit)).toEqual([1, undefined]);
  });

  it('says when a place becomes free if the connection gave way', async () => {
    const { server, refusals } = await paced({ waiting: { max: 101, timeout: 60_000 } });
    for (let i = 0; i < 102; i++) server.network.connect(at('10.0.0.1'));
    await server.clock.settle();
    expect(refusals).toMatchObject([{ reason: 'per-address', retryAfter: expect.any(Number) }]);
    expect(server.log.of('refused')).toMatchObject([{ reason: 'per-address', limit: 100 }]);
  });

  it('has no limit if `admit` gave that reason to a peer that has fewer connections', async () => {
    const admit = ({ address }: { address?: string | undefined }) => address === '10.0.0.1' || 'per-address';
    const server = await TestServer.open(echo, { admit, perAddress: { connections: 2 } });
    await server.connect(at('10.0.0.2'));
    for (let i = 0; i < 3; i++) await server.connect(at('10.0.0.1'));
    expect(server.log.of('refused').map(({ reason, limit }) => [reason, limit])).toEqual([
      ['per-address', undefined],
      ['per-address', 2],
    ]);
  });
});
