import fc from 'fast-check';
import { BehaviorSubject, of } from 'rxjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeProxyHeader, type PerAddressLimit } from '../../lib/index.ts';
import { PerAddress } from '../../lib/listen/perAddress.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { authority, type Issued } from '../support/certificates.ts';
import { TestServer } from '../support/testServer.ts';

const echo: Handler = (connection) => connection;

describe('the connections of each peer', () => {
  it('are counted, and nothing is kept of a peer that has none', () => {
    const step = fc.tuple(fc.boolean(), fc.constantFrom('a', 'b', 'c'));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (steps, limit) => {
        const counted = new PerAddress({ connections: { value: limit }, concurrency: undefined });
        const open: string[] = [];
        for (const [enters, key] of steps) {
          if (enters) {
            open.push(key);
            counted.enter(key);
          } else if (open.includes(key)) {
            open.splice(open.indexOf(key), 1);
            counted.leave(key);
          }
          for (const one of ['a', 'b', 'c']) {
            const count = open.filter((item) => item === one).length;
            expect([counted.count(one), counted.isFull(one)]).toEqual([count, count >= limit]);
          }
          expect(counted.peers).toBe(new Set(open).size);
        }
      }),
    );
  });

  it.each([
    [10, 100],
    [1000, 100],
    [1009, 100],
    [2005, 200],
    [50_000, 5000],
  ])('have a share by default, of %i places: %i', (concurrency, share) => {
    const counted = new PerAddress({ connections: { value: 'share' }, concurrency: { value: concurrency } });
    expect(counted.share).toBe(share);
    const scarce = Math.ceil(concurrency * 0.75);
    for (let i = 0; i < share; i++) counted.enter('a');
    expect([counted.yields('a', concurrency), counted.isFull('a')]).toEqual([false, false]);
    counted.enter('a');
    expect([counted.yields('a', scarce - 1), counted.yields('a', scarce), counted.isFull('a')]).toEqual([
      false,
      true,
      false,
    ]);
    expect(counted.leave('a')).toBe(true);
    expect([counted.yields('a', concurrency), counted.leave('a')]).toEqual([false, false]);
  });
});

/** A server with 400 places, of which a peer that has more than 100 leaves the last 100 to others. */
async function serving(options: ServeOptions = {}) {
  const server = await TestServer.open(echo, { concurrency: 400, greeting: 60_000, idle: 60_000, ...options });
  const connect = async (address: string, count: number): Promise<MemoryClient[]> => {
    const made = Array.from({ length: count }, () => server.network.connect({ address: { address, port: 1 } }));
    await server.clock.settle();
    return made;
  };
  const served = (address: string) => server.log.of('opened').filter(({ peer }) => peer.address === address).length;
  return { server, connect, served };
}

describe.each([
  ['a number', 400],
  ['an Observable', of(400)],
])('a peer that has more than its share of the places, which are %s', (_what, concurrency) => {
  const open = (options: ServeOptions = {}) => serving({ concurrency, ...options });

  it('gets the places that are free, but not the last quarter, which others get while it waits', async () => {
    const { server, connect, served } = await open();
    await connect('A', 500);
    expect([served('A'), server.log.counters.waiting, server.log.refusals]).toEqual([300, 200, []]);
    await connect('B', 60);
    await connect('C', 39);
    expect([served('B'), served('C'), served('A')]).toEqual([60, 39, 300]);
    await server.clock.advance(5000);
    expect(server.log.refusals).toEqual(Array(200).fill('per-address'));
    expect(server.log.of('refused')[0]).toMatchObject({ limit: 100, waited: 5000 });
  });

  it('is served when places are free again', async () => {
    const { server, connect, served } = await open();
    const clients = await connect('A', 302);
    const [other] = await connect('B', 1);
    other?.end();
    await server.clock.settle();
    expect(served('A')).toBe(300);
    clients[0]?.end();
    await server.clock.settle();
    expect(served('A')).toBe(301);
  });

  it('is refused for another one if the waiting room is full', async () => {
    const { server, connect, served } = await open({ waiting: { max: 5 } });
    await connect('A', 305);
    await connect('B', 100);
    expect([served('B'), server.log.refusals]).toEqual([100, []]);
    await connect('C', 3);
    expect([server.log.refusals, server.log.counters.waiting]).toEqual([Array(3).fill('per-address'), 5]);
    await connect('C', 3);
    expect([server.log.refusals.slice(3), server.log.counters.waiting]).toEqual([
      ['per-address', 'per-address', 'full'],
      5,
    ]);
  });

  it('does not keep another peer waiting that is within its share again', async () => {
    const { server, connect, served } = await open();
    await connect('A', 250);
    const [one] = await connect('B', 100);
    await connect('A', 1);
    await connect('B', 1);
    expect([served('A'), served('B'), server.log.counters.waiting]).toEqual([250, 100, 2]);
    one?.end();
    await server.clock.settle();
    expect([served('A'), served('B'), server.log.counters.waiting]).toEqual([250, 101, 1]);
  });

  it('has a limit instead while an Observable says so, and its share again afterwards', async () => {
    const connections = new BehaviorSubject<PerAddressLimit>('share');
    const { server, connect, served } = await open({ perAddress: { connections } });
    await connect('A', 302);
    expect([served('A'), server.log.counters.waiting]).toEqual([300, 2]);
    // Those that have given way come in, because they do not exceed the limit.
    connections.next(302);
    await server.clock.settle();
    expect([served('A'), server.log.counters.waiting]).toEqual([302, 0]);
    await connect('A', 1);
    expect(server.log.refusals).toEqual(['per-address']);
    connections.next('share');
    await connect('A', 1);
    expect([served('A'), server.log.counters.waiting, server.log.refusals.length]).toEqual([302, 1, 1]);
    connections.next('none' as never);
    expect(server.log.of('failed')[0]?.error).toMatchObject({
      message:
        "Cannot use what an Observable has emitted: perAddress.connections must be a number, or 'share', not 'none'",
    });
  });

  it('is told of a drain as all that wait are', async () => {
    const { server, connect } = await open();
    await connect('A', 303);
    await server.signal();
    expect(server.log.refusals).toEqual(Array(3).fill('draining'));
  });

  it('does not give way with `listen`, or with a limit of its own', async () => {
    const { connect, served } = await open({ perAddress: { connections: 450 } });
    await connect('A', 390);
    expect(served('A')).toBe(390);
  });
});

it('with `park` there is no share: all wait in the queue of the kernel, and none is refused', async () => {
  const { server, connect, served } = await serving({ overflow: 'park', waiting: { max: 10 } });
  const { limits } = server.log.of('listening')[0] ?? {};
  await connect('A', 450);
  expect([served('A'), server.log.counters.waiting, limits?.isParked]).toEqual([400, 10, true]);
  await server.clock.advance(60_000);
  expect(server.log.refusals).toEqual([]);
});

it('with `evict` no connection is closed for one that gives way', async () => {
  const { server, connect, served } = await serving({ overflow: 'evict' });
  await connect('A', 300);
  await connect('B', 100);
  await connect('A', 10);
  await server.clock.advance(200);
  expect([served('A'), server.log.closes]).toEqual([300, []]);
  await connect('C', 10);
  expect([served('C'), server.log.closes]).toEqual([10, Array(10).fill('evicted')]);
});

describe('the room for connections that have sent nothing', () => {
  let certificate: Issued;
  beforeAll(async () => {
    certificate = await (await authority()).issue();
  });

  it.each<[string, () => ServeOptions]>([
    ['their TLS handshake is awaited', () => ({ tls: certificate })],
    [
      'a PROXY header that is optional',
      () => ({ proxy: { mode: 'optional', trusted: ['10.0.0.0/8'], deadline: 9000 } }),
    ],
  ])('is not filled by one peer: %s', async (_what, options) => {
    const { server, connect } = await serving({ concurrency: 1000, waiting: { max: 1000 }, ...options() });
    await server.log.whenListening();
    await connect('A', 750);
    expect([server.log.counters.waiting, server.log.refusals]).toEqual([750, []]);
    await connect('A', 20);
    expect(server.log.of('refused').map(({ reason, limit }) => [reason, limit])).toEqual(
      Array(20).fill(['per-address', 100]),
    );
    // Others still arrive, each with its share.
    await connect('B', 100);
    await connect('C', 100);
    expect([server.log.counters.waiting, server.log.counters.refused]).toEqual([950, 20]);
    await connect('B', 1);
    expect([server.log.counters.waiting, server.log.counters.refused]).toEqual([950, 21]);
    await connect('D', 50);
    await connect('E', 1);
    expect([server.log.counters.waiting, server.log.refusals.at(-1)]).toEqual([1000, 'full']);
    server.log.subscription?.unsubscribe();
  });

  it('is not filled by one client behind a proxy', async () => {
    const proxy = { trusted: ['10.0.0.1'] };
    const options = { tls: certificate, proxy, concurrency: 1000, waiting: { max: 1000 }, handshake: 60_000 };
    const { server } = await serving(options);
    await server.log.whenListening();
    const through = async (address: string, count: number) => {
      const header = encodeProxyHeader({ source: { address, port: 1 }, destination: { address: '10.0.0.9', port: 1 } });
      for (let i = 0; i < count; i++)
        server.network.connect({ address: { address: '10.0.0.1', port: 1 } }).write(header);
      await server.clock.settle();
    };
    await through('192.0.2.1', 800);
    expect(server.log.refusals.length).toBeGreaterThan(40);
    expect(new Set(server.log.refusals)).toEqual(new Set(['per-address']));
    const { refused } = server.log.counters;
    await through('192.0.2.2', 100);
    expect(server.log.counters.refused).toBe(refused);
    server.log.subscription?.unsubscribe();
  });

  it('goes on to take connections of a peer when enough of its others have left', async () => {
    const { server, connect } = await serving({ tls: certificate, concurrency: 1000, waiting: { max: 1000 } });
    await server.log.whenListening();
    const clients = await connect('A', 751);
    expect(server.log.refusals).toEqual(['per-address']);
    clients[0]?.end();
    await server.clock.settle();
    await connect('A', 2);
    expect([server.log.counters.waiting, server.log.refusals]).toEqual([750, ['per-address', 'gone', 'per-address']]);
    server.log.subscription?.unsubscribe();
  });
});
