import { networkInterfaces } from 'node:os';
import { BehaviorSubject, type Observable, Subject } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeProxyHeader } from '../../lib/proxyProtocol/encode.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import { authority, type Issued } from '../support/certificates.ts';
import { client, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const PROXY = { address: '10.0.0.1', port: 4444 };
const HERE = { address: '198.51.100.1', port: 25 };
const echo: Handler = (connection) => connection;

let tls: Issued;
beforeAll(async () => {
  tls = await (await authority()).issue();
});
afterEach(closeClients);

/** A server behind a proxy that connects for clients. */
async function proxied(options: ServeOptions = {}) {
  const server = await TestServer.open(echo, { proxy: { trusted: ['10.0.0.0/8'] }, ...options });
  const from = async (address: string, version: 1 | 2 = 2) => {
    const one = await server.connect({ address: PROXY });
    const destination = address.includes(':') ? { address: '2001:db8::99', port: 25 } : HERE;
    one.write(encodeProxyHeader({ source: { address, port: 1 }, destination, version }));
    await server.clock.settle();
    return one;
  };
  /** Why the clients at some addresses are refused. */
  const verdicts = async (...addresses: string[]) => {
    const all: (string | undefined)[] = [];
    for (const address of addresses) {
      const before = server.log.refusals.length;
      await from(address);
      all.push(server.log.refusals[before]);
    }
    return all;
  };
  return { server, from, verdicts };
}

describe('behind a proxy, the client is looked at, and not the proxy', () => {
  it('by the lists', async () => {
    const { verdicts, server } = await proxied({ allow: ['192.0.2.0/24'], deny: ['192.0.2.9'] });
    expect(await verdicts('192.0.2.1', '192.0.2.9', '203.0.113.1')).toEqual([undefined, 'denied', 'denied']);
    const peers = server.log.of('refused').map(({ peer }) => peer.address);
    expect(peers).toEqual(['192.0.2.9', '203.0.113.1']);
  });

  it('by the limit for each address, which is free again when its connection is closed', async () => {
    const { server, verdicts, from } = await proxied({ perAddress: { connections: 1 } });
    const first = await from('192.0.2.1');
    expect(await verdicts('192.0.2.1', '192.0.2.2', '192.0.2.2')).toEqual(['per-address', undefined, 'per-address']);
    first.end();
    await server.clock.settle();
    expect(await verdicts('192.0.2.1', '192.0.2.1')).toEqual([undefined, 'per-address']);
    // Those that have not sent their header count for no peer.
    for (let i = 0; i < 5; i++) await server.connect({ address: PROXY });
    expect(server.log.counters).toMatchObject({ waiting: 5, active: 2, refused: 3 });
    await server.clock.advance(5000);
    expect(server.log.counters).toMatchObject({ waiting: 0, refused: 8 });
  });

  it('by the rates', async () => {
    const accepts = { perSecond: 1, burst: 3, perAddress: { perSecond: 1, burst: 1 } };
    const { verdicts } = await proxied({ accepts });
    const addresses = ['192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'];
    expect(await verdicts(...addresses)).toEqual([undefined, 'rate-per-address', undefined, undefined, 'rate']);
  });

  it('by `admit`', async () => {
    const asked: unknown[] = [];
    const { verdicts } = await proxied({
      admit: (peer) => {
        asked.push(peer);
        return peer.address === '192.0.2.1' || 'unknown';
      },
    });
    expect(await verdicts('192.0.2.1', '192.0.2.2')).toEqual([undefined, 'unknown']);
    expect(asked).toEqual(['192.0.2.1', '192.0.2.2'].map((address) => ({ address, port: 1 })));
  });

  it('once, although a header comes in pieces, and not at all if it is wrong', async () => {
    let asked = 0;
    const { server } = await proxied({ admit: () => ++asked > 0 || '' });
    const header = encodeProxyHeader({ source: { address: '192.0.2.1', port: 1 }, destination: HERE });
    const one = await server.connect({ address: PROXY });
    for (const byte of header) one.write(Uint8Array.of(byte));
    const other = await server.connect({ address: PROXY });
    other.write('GET / HTTP/1.1\r\n\r\n');
    await server.clock.settle();
    expect([asked, server.log.refusals, server.log.counters.active]).toEqual([1, ['proxy'], 1]);
  });

  it('as the proxy itself, where the header names no client, and where it may be missing', async () => {
    const { server } = await proxied({
      proxy: { trusted: ['10.0.0.0/8'], mode: 'optional', deadline: 50 },
      perAddress: { connections: 1 },
    });
    for (let i = 0; i < 2; i++) (await server.connect({ address: PROXY })).write('hello');
    await server.connect({ address: { address: '192.0.2.1', port: 1 } });
    await server.clock.advance(50);
    expect([server.log.refusals, server.log.counters.active]).toEqual([['per-address'], 2]);
  });
});

describe('a peer that may send no PROXY header, where the header is optional', () => {
  const DIRECT = { address: '192.0.2.1', port: 1 };
  const direct = (options: ServeOptions) =>
    proxied({ proxy: { trusted: ['10.0.0.0/8'], mode: 'optional', deadline: 50 }, ...options });

  it.each<[string, ServeOptions]>([
    ['denied', { deny: ['192.0.2.0/24'] }],
    ['denied', { allow: ['203.0.113.0/24', '10.0.0.0/8'] }],
    ['rate', { accepts: { perSecond: 0, burst: 1 } }],
    ['rate-per-address', { accepts: { perAddress: { perSecond: 0, burst: 1 } } }],
    ['per-address', { perAddress: { connections: 1 } }],
    ['not you', { admit: () => 'not you' }],
  ])('is refused at accept, before it has sent anything: %s, by %o', async (reason, options) => {
    const { server } = await direct(options);
    await server.connect({ address: DIRECT });
    await server.connect({ address: DIRECT });
    expect(server.log.refusals.at(-1)).toBe(reason);
  });

  it('is checked once, and not again when it has sent something or its deadline is over', async () => {
    const asked: unknown[] = [];
    const { server, from } = await direct({
      accepts: { perSecond: 0, burst: 4, perAddress: { perSecond: 0, burst: 3 } },
      perAddress: { connections: 3 },
      // The proxy itself is denied. But the checks look at its clients.
      deny: ['10.0.0.0/8'],
      admit: ({ address }) => asked.push(address) > 0 || 'never',
    });
    const clients = [];
    for (let i = 0; i < 3; i++) clients.push(await server.connect({ address: DIRECT }));
    for (const client of clients.slice(0, 2)) client.write('hello');
    await server.clock.advance(50);
    expect([asked.length, server.log.refusals, server.log.counters.active]).toEqual([3, [], 3]);
    // Each has taken one token of all four.
    await from('192.0.2.7');
    await from('192.0.2.8');
    expect([asked, server.log.refusals]).toEqual([[...Array(3).fill(DIRECT.address), '192.0.2.7'], ['rate']]);
    for (const client of clients) client.end();
    await server.clock.settle();
    // Each was counted once for its address: now there is none.
    await server.connect({ address: DIRECT });
    expect(server.log.refusals).toEqual(['rate', 'rate-per-address']);
  });
});

it('a peer that may send no PROXY header, where one is required, is refused as `proxy` before any check', async () => {
  const asked: unknown[] = [];
  const { server, from } = await proxied({
    deny: ['192.0.2.1'],
    accepts: { perSecond: 0, burst: 1 },
    admit: ({ address }) => asked.push(address) > 0 || 'never',
  });
  for (const address of ['192.0.2.1', '192.0.2.2']) await server.connect({ address: { address, port: 1 } });
  await from('192.0.2.3');
  expect([server.log.refusals, asked, server.log.counters.active]).toEqual([['proxy', 'proxy'], ['192.0.2.3'], 1]);
});

describe('the farewell to a client that the checks refuse', () => {
  const refusing: [string, ServeOptions][] = [
    ['denied', { deny: ['192.0.2.0/24'] }],
    ['denied', { allow: ['203.0.113.0/24'] }],
    ['per-address', { perAddress: { connections: 1 } }],
    ['rate', { accepts: { perSecond: 0, burst: 1 } }],
    ['rate-per-address', { accepts: { perAddress: { perSecond: 0, burst: 1 } } }],
    ['not you', { admit: () => 'not you' }],
  ];
  it.each(refusing)('is sent before a FIN without TLS: %s, by %o', async (reason, options) => {
    const { from, server } = await proxied({ ...options, farewell: (why) => `bye: ${why}\n` });
    await from('192.0.2.1');
    const client = await from('192.0.2.1');
    expect([client.text, client.ended, client.reset]).toEqual([`bye: ${reason}\n`, true, false]);
    expect(server.log.refusals.at(-1)).toBe(reason);
    // It lingers, as any refused connection.
    await server.clock.advance(100);
    expect(server.log.counters.waiting).toBe(0);
  });

  it.each(refusing)('is not sent where TLS would follow: %s, by %o', async (reason, options) => {
    const { from, server } = await proxied({ ...options, tls, farewell: (why) => `bye: ${why}\n` });
    await from('192.0.2.1');
    const client = await from('192.0.2.1');
    expect([client.text, client.ended, client.reset]).toEqual(['', true, false]);
    expect(server.log.refusals.at(-1)).toBe(reason);
    server.log.subscription?.unsubscribe();
  });
});

describe('the address of a client that is mapped into IPv6', () => {
  it.each([1, 2] as const)('is its IPv4 address behind a proxy: version %i', async (version) => {
    const { server, from, verdicts } = await proxied({ perAddress: { connections: 1 } });
    await from('::ffff:192.0.2.1', version);
    expect(server.log.of('opened')).toMatchObject([{ peer: { address: '192.0.2.1', port: 1 } }]);
    expect(await verdicts('192.0.2.1')).toEqual(['per-address']);
    expect(server.log.of('opened')[0]?.via?.header.source?.address).toMatch(/192\.0\.2\.1$/);
  });

  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'));
  it.skipIf(!hasIpv6).each([
    ['nodeTransport', nodeTransport],
    ['netTransport', netTransport],
  ])('is its IPv4 address at a port for both families: %s', async (_name, transport) => {
    const log = Log.follow(
      serve({ port: 0, host: '::' }, ({ peer }) => `${peer.address}\n`, { transport, deny: ['::/0'] }),
    );
    const port = await log.whenListening();
    await client(port).whenRead('127.0.0.1\n');
    await log.whenEmitted('closed');
    expect(log.of('opened').map(({ peer }) => peer.address)).toEqual(['127.0.0.1']);
    expect(log.of('closed').map(({ peer }) => peer.address)).toEqual(['127.0.0.1']);
    log.subscription?.unsubscribe();
  });
});

it('as many connections as `waiting.max` may have to send their header, also if that is an Observable', async () => {
  const max = new Subject<number>();
  const { server } = await proxied({ proxy: { trusted: ['10.0.0.0/8'], deadline: 60_000 }, waiting: { max } });
  const arrive = async (count: number) => {
    for (let i = 0; i < count; i++) server.network.connect({ address: PROXY });
    await server.clock.settle();
    return server.log.refusals.length;
  };
  max.next(10);
  await server.clock.settle();
  // At least 1000, although fewer may wait.
  expect(await arrive(1003)).toBe(3);
  max.next(1500);
  expect(await arrive(501)).toBe(4);
  expect(new Set(server.log.refusals)).toEqual(new Set(['full']));
});

describe('a port that parks', () => {
  const parking = async (max: Observable<number> | number) => {
    const proxy = { trusted: ['10.0.0.0/8'], deadline: 60_000 };
    const { server } = await proxied({
      concurrency: 1,
      proxy,
      waiting: { max, timeout: 60_000 },
      overflow: 'park',
      idle: 120_000,
      deny: ['192.0.2.9'],
    });
    const send = (one: MemoryClient, address: string) => {
      one.write(encodeProxyHeader({ source: { address, port: 1 }, destination: HERE }));
      one.write('hello');
    };
    return { server, send, limits: server.log.of('listening')[0]?.limits };
  };

  it('does not stop for those that have not sent their header, and serves all', async () => {
    const { server, send, limits } = await parking(4);
    const all = Array.from({ length: 12 }, () => server.network.connect({ address: PROXY }));
    await server.clock.settle();
    expect([server.log.counters.accepted, limits?.isParked]).toEqual([12, false]);
    for (const one of all) {
      send(one, '192.0.2.1');
      await server.clock.settle();
    }
    // They were accepted already, so they may be more than `waiting.max`.
    expect([server.log.counters, limits?.isParked]).toMatchObject([{ active: 1, waiting: 11 }, true]);
    const late = await server.connect({ address: PROXY });
    expect(server.log.counters.accepted).toBe(12);
    all.push(late);
    send(late, '192.0.2.1');
    for (const one of all) {
      one.end();
      await server.clock.settle();
    }
    expect([all.map(({ text }) => text), server.log.refusals]).toEqual([Array(13).fill('hello'), []]);
  });

  it.each<[string, () => ServeOptions]>([
    ['a PROXY header', () => ({ proxy: { trusted: ['10.0.0.0/8'], deadline: 60_000 } })],
    ['the TLS handshake', () => ({ proxy: undefined, tls, handshake: 60_000 })],
  ])(
    'stops for 1000 silent connections, though not for one, and goes on when a quarter has left: %s',
    async (_what, options) => {
      const { server } = await proxied({ concurrency: 1, waiting: { max: 1 }, overflow: 'park', ...options() });
      await server.log.whenListening();
      const { limits } = server.log.of('listening')[0] ?? {};
      const connect = async (count: number) => {
        const made = Array.from({ length: count }, () => server.network.connect({ address: PROXY }));
        await server.clock.settle();
        return made;
      };
      const clients = await connect(1);
      expect(limits?.isParked).toBe(false);
      clients.push(...(await connect(998)));
      expect([limits?.isParked, server.log.counters.waiting]).toEqual([false, 999]);
      clients.push(...(await connect(50)));
      expect([limits?.isParked, server.log.counters.accepted, server.log.refusals]).toEqual([true, 1000, []]);
      for (const one of clients.slice(0, 249)) one.end();
      await server.clock.settle();
      expect([limits?.isParked, server.log.counters.accepted]).toEqual([true, 1000]);
      clients[249]?.end();
      await server.clock.settle();
      expect([limits?.isParked, server.log.counters.accepted, server.log.counters.waiting]).toEqual([false, 1049, 799]);
      server.log.subscription?.unsubscribe();
    },
  );

  it('goes on when one that waits is refused, though it lingers', async () => {
    const { server, send, limits } = await parking(1);
    const [first, second] = [await server.connect({ address: PROXY }), await server.connect({ address: PROXY })];
    send(first, '192.0.2.1');
    send(second, '192.0.2.1');
    await server.clock.settle();
    expect([server.log.counters.waiting, limits?.isParked]).toEqual([1, true]);
    await server.clock.advance(60_000);
    expect([server.log.refusals, limits?.isParked]).toEqual([['timeout'], false]);
  });

  it('refuses none as full if fewer may wait than have been accepted', async () => {
    const max = new BehaviorSubject(8);
    const { server, send, limits } = await parking(max);
    const all = Array.from({ length: 8 }, () => server.network.connect({ address: PROXY }));
    await server.clock.settle();
    max.next(2);
    for (const one of all) send(one, '192.0.2.1');
    await server.clock.settle();
    expect([server.log.counters, limits?.isParked]).toMatchObject([{ active: 1, waiting: 7, refused: 0 }, true]);
    await server.signal();
    await server.clock.advance(11_000);
    expect([server.log.refusals, server.clock.actions]).toEqual([Array(7).fill('draining'), []]);
  });
});
