import { BehaviorSubject, of, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Counters } from '../../lib/events.ts';
import { listen } from '../../lib/listen/listen.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { accepting } from '../support/accepting.ts';
import { TestServer } from '../support/testServer.ts';

const echo: Handler = (connection) => connection;
const open = (options: ServeOptions) => TestServer.open(echo, options);
const at = (address: string) => ({ address: { address, port: 1 } });

/** Why each of some addresses is refused, or `undefined`. */
async function verdicts(server: TestServer, ...addresses: string[]): Promise<(string | undefined)[]> {
  const all: (string | undefined)[] = [];
  for (const address of addresses) {
    const before = server.log.refusals.length;
    await server.connect(at(address));
    all.push(server.log.refusals[before]);
  }
  return all;
}

describe('the lists', () => {
  it.each<[string, ServeOptions, string[], (string | undefined)[]]>([
    [
      'deny',
      { deny: ['10.0.0.0/8', '::1'] },
      ['10.1.2.3', '11.0.0.1', '::1', '::2'],
      ['denied', undefined, 'denied', undefined],
    ],
    ['allow', { allow: ['10.0.0.0/8'] }, ['10.1.2.3', '11.0.0.1', '::1'], [undefined, 'denied', 'denied']],
    ['allow and deny', { allow: ['10.0.0.0/8'], deny: ['10.0.0.1'] }, ['10.0.0.1', '10.0.0.2'], ['denied', undefined]],
    ['an empty `allow`', { allow: [] }, ['10.0.0.1', '::1'], ['denied', 'denied']],
    ['an empty `deny`', { deny: [] }, ['10.0.0.1', '::1'], [undefined, undefined]],
    [
      'networks of mapped addresses',
      { deny: ['::ffff:10.0.0.0/104'] },
      ['10.1.2.3', '::ffff:10.1.2.3', '11.0.0.1'],
      ['denied', 'denied', undefined],
    ],
    [
      'mapped clients',
      { allow: ['10.0.0.1'] },
      ['::ffff:10.0.0.1', '::ffff:a00:1', '::ffff:10.0.0.2'],
      [undefined, undefined, 'denied'],
    ],
    ['the whole of IPv6, which has no IPv4', { deny: ['::/0'] }, ['::1', '10.0.0.1'], ['denied', undefined]],
  ])('decide by the address: %s', async (_what, options, addresses, expected) => {
    expect(await verdicts(await open(options), ...addresses)).toEqual(expected);
  });

  it('hold from when they change, and an array that the user changes later does not', async () => {
    const list = ['10.0.0.1'];
    const [allow, deny] = [new BehaviorSubject<readonly string[]>(['10.0.0.0/8']), new BehaviorSubject(list)];
    const server = await open({ allow, deny });
    list.push('10.0.0.2');
    expect(await verdicts(server, '10.0.0.1', '10.0.0.2', '192.0.2.1')).toEqual(['denied', undefined, 'denied']);
    deny.next(['10.0.0.2']);
    allow.next(['10.0.0.0/8', '192.0.2.0/24']);
    expect(await verdicts(server, '10.0.0.1', '10.0.0.2', '192.0.2.1')).toEqual([undefined, 'denied', undefined]);
    // Connections that are open stay.
    expect(server.log.counters).toMatchObject({ active: 3, refused: 3 });
    deny.next(['localhost']);
    expect(await verdicts(server, '10.0.0.2', '10.0.0.3')).toEqual(['denied', undefined]);
    expect(server.log.of('failed')).toMatchObject([{ error: { name: 'TypeError' } }]);
  });
});

describe('the function `admit`', () => {
  it('lets in those for which it returns true, and a string is the reason', async () => {
    const calls: [unknown, Counters][] = [];
    const admit = (peer: { address?: string | undefined }, counters: Counters) => {
      calls.push([peer.address, { ...counters }]);
      return peer.address === '10.0.0.1' || 'not now';
    };
    const server = await open({ admit });
    expect(await verdicts(server, '10.0.0.1', '10.0.0.2')).toEqual([undefined, 'not now']);
    // The connection itself waits while it is asked for.
    expect(calls).toEqual([
      ['10.0.0.1', { accepted: 1, waiting: 1, active: 0, closed: 0, refused: 0 }],
      ['10.0.0.2', { accepted: 2, waiting: 1, active: 1, closed: 0, refused: 0 }],
    ]);
  });

  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('broken');
      },
      'broken',
    ],
    ['returns false', () => false, 'must be true, or a string that is not empty, not false'],
    ['returns nothing', () => undefined, 'not undefined'],
    ['returns an empty string', () => '', "not ''"],
    ['returns a promise', async () => true, 'not Promise {'],
  ])('refuses as `denied`, with a `failed` event, if it %s', async (_what, admit, message) => {
    const server = await open({ admit: admit as () => true });
    expect(await verdicts(server, '10.0.0.1')).toEqual(['denied']);
    const error = expect.objectContaining({ message: expect.stringContaining(message) });
    expect(server.log.of('failed')).toEqual([
      { type: 'failed', peer: { address: '10.0.0.1', port: 1 }, callback: 'admit', error },
    ]);
    expect(server.log.counters).toEqual({ accepted: 1, waiting: 0, active: 0, closed: 0, refused: 1 });
  });

  it('may give any reason: 100 are counted apart, and further ones as `other`', async () => {
    let count = 0;
    const server = await open({ admit: () => `reason ${count++ % 150}` });
    for (let i = 0; i < 300; i++) server.network.connect();
    await server.clock.settle();
    const { refusals } = server.log.of('listening')[0] ?? {};
    expect([
      refusals?.size,
      refusals?.get('reason 0'),
      refusals?.get('reason 99'),
      refusals?.get('reason 100'),
    ]).toEqual([101, 2, 2, undefined]);
    expect(refusals?.get('other')).toBe(100);
    expect(server.log.refusals[120]).toBe('reason 120');
  });
});

describe('the order of the checks', () => {
  it('is: lists, connections of the address, rates, `admit`; what refuses takes nothing from those after it', async () => {
    let asked = 0;
    const admit = () => {
      asked++;
      return true as const;
    };
    const server = await open({
      deny: ['10.0.0.9'],
      allow: ['10.0.0.0/8'],
      perAddress: { connections: 1 },
      accepts: { perSecond: 0, burst: 4, perAddress: { perSecond: 0, burst: 2 } },
      admit,
    });
    // Were a token taken for any of these, the next ones would be refused for it.
    for (let i = 0; i < 10; i++) expect(await verdicts(server, '10.0.0.9', '192.0.2.1')).toEqual(['denied', 'denied']);
    expect(asked).toBe(0);
    const [client] = [await server.connect(at('10.0.0.1'))];
    for (let i = 0; i < 10; i++) expect(await verdicts(server, '10.0.0.1')).toEqual(['per-address']);
    expect(asked).toBe(1);
    client.end();
    await server.clock.settle();
    const again = await server.connect(at('10.0.0.1'));
    again.end();
    await server.clock.settle();
    for (let i = 0; i < 10; i++) expect(await verdicts(server, '10.0.0.1')).toEqual(['rate-per-address']);
    expect(asked).toBe(2);
    expect(await verdicts(server, '10.0.0.2', '10.0.0.3', '10.0.0.4')).toEqual([undefined, undefined, 'rate']);
    expect(asked).toBe(4);
    // One that is refused as `rate` took no token of its own.
    expect(await verdicts(server, '10.0.0.4', '10.0.0.4', '10.0.0.4')).toEqual(['rate', 'rate', 'rate']);
  });

  it('counts a peer by the first bits of its address, for its connections and for its rate', async () => {
    const server = await open({ perAddress: { connections: 2, prefix: { 4: 24, 6: 48 } } });
    expect(await verdicts(server, '10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.1.1')).toEqual([
      undefined,
      undefined,
      'per-address',
      undefined,
    ]);
    expect(await verdicts(server, '2001:db8:1::1', '2001:db8:1:2::1', '2001:db8:1:3::', '2001:db8:2::')).toEqual([
      undefined,
      undefined,
      'per-address',
      undefined,
    ]);
    const rated = await open({
      perAddress: { prefix: { 4: 16 } },
      accepts: { perAddress: { perSecond: 1, burst: 1 } },
    });
    expect(await verdicts(rated, '10.0.0.1', '10.0.1.2', '10.1.0.1')).toEqual([
      undefined,
      'rate-per-address',
      undefined,
    ]);
  });
});

describe('the rates of a server', () => {
  it.each([
    ['a number', 2],
    ['an Observable', of(2)],
  ])('hold with %s', async (_what, perSecond) => {
    const server = await open({ accepts: { perSecond } });
    expect(await verdicts(server, ...Array(3).fill('10.0.0.1'))).toEqual([undefined, undefined, 'rate']);
    await server.clock.advance(500);
    expect(await verdicts(server, '10.0.0.2', '10.0.0.2')).toEqual([undefined, 'rate']);
  });

  it('hold for each address with an Observable', async () => {
    const server = await open({ accepts: { perAddress: { perSecond: of(1) } } });
    expect(await verdicts(server, '10.0.0.1', '10.0.0.1', '10.0.0.2')).toEqual([
      undefined,
      'rate-per-address',
      undefined,
    ]);
  });

  it('grow from when the port opens: not from when the server was subscribed to, or when the first client came', async () => {
    for (const [pause, expected] of [
      [0, 1],
      [5000, 50],
      [10_000, 100],
    ] as const) {
      const perSecond = new Subject<number>();
      const server = await open({ accepts: { perSecond, ramp: 10_000 } });
      await server.clock.advance(60_000);
      perSecond.next(100);
      await server.clock.advance(pause);
      await server.connectAll(110);
      expect(server.log.counters.active).toBe(expected);
      server.log.subscription?.unsubscribe();
    }
  });
});

describe('the connections of one address', () => {
  it('are limited, waiting ones included, until their sockets are closed', async () => {
    const server = await open({ concurrency: 1, perAddress: { connections: 2 } });
    const first = await server.connect(at('10.0.0.1'));
    expect(await verdicts(server, '10.0.0.1', '10.0.0.1', '10.0.0.2')).toEqual([undefined, 'per-address', undefined]);
    expect(server.log.of('refused')).toMatchObject([{ reason: 'per-address', limit: 2 }]);
    first.end();
    await server.clock.settle();
    expect(await verdicts(server, '10.0.0.1', '10.0.0.1')).toEqual([undefined, 'per-address']);
  });

  it('are limited as the limit is now: those that are open stay', async () => {
    const connections = new BehaviorSubject(3);
    const server = await open({ perAddress: { connections } });
    expect(await verdicts(server, ...Array(4).fill('10.0.0.1'))).toEqual([
      undefined,
      undefined,
      undefined,
      'per-address',
    ]);
    connections.next(1);
    expect(server.log.counters.active).toBe(3);
    expect(await verdicts(server, '10.0.0.1', '10.0.0.2', '10.0.0.2')).toEqual([
      'per-address',
      undefined,
      'per-address',
    ]);
    connections.next(Number.POSITIVE_INFINITY);
    expect(await verdicts(server, ...Array(9).fill('10.0.0.1'))).toEqual(Array(9).fill(undefined));
  });
});

describe.each<[string, (options: ServeOptions) => unknown]>([
  ['listen', (options) => listen({ port: 0 }, options)],
  ['serve', (options) => serve({ port: 0 }, echo, options)],
])('options that would do nothing are a TypeError: %s', (what, call) => {
  it.each([
    ['ramp', { ramp: 10 }],
    ['burst', { burst: 3 }],
    ['burst', { burst: 3, perAddress: { perSecond: 1 } }],
  ])('accepts.%s without accepts.perSecond', (name, accepts) => {
    const given = accepts as ServeOptions['accepts'];
    expect(() => call({ accepts: given })).toThrow(
      new TypeError(`Cannot ${what}: accepts.${name} needs accepts.perSecond`),
    );
  });

  it.each([
    ['waiting', of({ max: 1 })],
    ['accepts', of({ perSecond: 1 })],
    ['perAddress', of({ connections: 1 })],
    ['options', of({})],
  ])('an Observable where there has to be an object: %s', (name, observable) => {
    const options = name === 'options' ? observable : { [name]: observable };
    const message = `Cannot ${what}: ${name} must be an object, not an Observable`;
    expect(() => call(options as ServeOptions)).toThrow(new TypeError(message));
  });
});

describe('a connection that its peer has reset before it was accepted', () => {
  /** A network of which some connections, by their number, have been reset when they are accepted: their addresses are unknown. */
  const withResets = (isReset: (id: number) => boolean) => (network: Transport) => {
    let accepted = 0;
    return accepting(network, (socket, accept) => {
      if (isReset(++accepted)) {
        Object.defineProperty(socket, 'peer', { value: { address: undefined, port: undefined } });
        Object.defineProperty(socket, 'alive', { get: () => false });
      }
      accept(socket);
    });
  };

  it('is refused as `gone`, takes no token of a rate, and is handed to no handler and no function', async () => {
    const served: number[] = [];
    const asked: unknown[] = [];
    const options: ServeOptions = {
      accepts: { perSecond: 0, burst: 2, perAddress: { perSecond: 0, burst: 2 } },
      deny: ['0.0.0.0/0'],
      farewell: (reason) => reason,
      admit: (peer) => asked.push(peer.address) > 0 || 'denied',
    };
    const handler: Handler = (connection) => {
      served.push(connection.id);
      return connection;
    };
    const server = await TestServer.open(
      handler,
      options,
      withResets((id) => id > 1 && id < 100),
    );
    expect(await verdicts(server, '::1', ...Array(98).fill('10.0.0.1'), '10.0.0.1', '::1', '::1')).toEqual([
      undefined,
      ...Array(98).fill('gone'),
      'denied',
      undefined,
      'rate-per-address',
    ]);
    expect([served, asked]).toEqual([
      [1, 101],
      ['::1', '::1'],
    ]);
    expect(server.log.counters).toEqual({ accepted: 102, waiting: 0, active: 2, closed: 0, refused: 100 });
  });

  it('evicts none', async () => {
    const server = await TestServer.open(
      echo,
      { concurrency: 2, overflow: 'evict' },
      withResets((id) => id > 2),
    );
    await server.connectAll(50);
    await server.clock.advance(200);
    expect([server.log.refusals, server.log.counters.active]).toEqual([Array(48).fill('gone'), 2]);
    const { connections = [] } = server.log.of('listening')[0] ?? {};
    expect([...connections].map(({ isDraining }) => isDraining)).toEqual([false, false]);
  });

  it('is not one of a unix socket, which has no port either', async () => {
    const unix = (network: Transport) =>
      accepting(network, (socket, accept) => {
        Object.defineProperty(socket, 'peer', { value: { address: undefined, port: undefined } });
        Object.defineProperty(socket, 'alive', { get: () => true });
        accept(socket);
      });
    const server = await TestServer.open(echo, {}, unix);
    await server.connectAll(3);
    expect(server.log.counters).toMatchObject({ active: 3, refused: 0 });
  });
});
