import fc from 'fast-check';
import { firstValueFrom, map, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import { lines } from '../../lib/framing/lines.ts';
import { encodeProxyHeader } from '../../lib/proxyProtocol/encode.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { TestServer } from '../support/testServer.ts';

const trusted = ['10.0.0.0/8'];
const PROXY = { address: '10.1.2.3', port: 4444 };
const STRANGER = { address: '192.0.2.7', port: 5555 };
const CLIENT = { address: '203.0.113.9', port: 1234 };
const HERE = { address: '198.51.100.1', port: 25 };
const header = encodeProxyHeader({ source: CLIENT, destination: HERE, authority: 'example.org' });
const line = encodeProxyHeader({ source: CLIENT, destination: HERE, version: 1 });

/** A server that echoes lines, and the connections that its handler was called with. */
async function echo(proxy: ServeOptions['proxy'] = { trusted }, options: ServeOptions = {}) {
  const served: Connection[] = [];
  const handler: Handler = (connection) => {
    served.push(connection);
    return connection.pipe(
      lines(),
      map((text) => `${text}\n`),
    );
  };
  const server = await TestServer.open(handler, { proxy, ...options });
  return { server, served };
}

describe('a connection with a PROXY header', () => {
  it.each([
    ['1', line],
    ['2', header],
  ])('of version %s has the address of the client, and that of the proxy as `via`', async (_version, bytes) => {
    const { server, served } = await echo();
    const client = await server.connect({ address: PROXY });
    client.write(bytes);
    client.write('hello\n');
    await server.clock.settle();
    expect(client.text).toBe('hello\n');
    const [connection] = served;
    expect(connection?.peer).toEqual(CLIENT);
    expect(connection?.via).toMatchObject({ ...PROXY, header: { source: CLIENT, destination: HERE } });
    expect(server.log.of('opened')).toMatchObject([{ peer: CLIENT, via: PROXY }]);
    client.end();
    await server.clock.settle();
    expect(server.log.of('closed')).toMatchObject([{ reason: 'ended', peer: CLIENT, bytesIn: 6, bytesOut: 6 }]);
  });

  it('is served the same however the header and the first bytes are split', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(header, line),
        fc.uniqueArray(fc.nat(200), { maxLength: 12 }),
        fc.boolean(),
        async (bytes, cuts, ends) => {
          const { server, served } = await echo();
          const client = await server.connect({ address: PROXY });
          const all = Buffer.concat([bytes, Buffer.from('one\ntwo\n')]);
          let from = 0;
          for (const cut of [...cuts.filter((at) => at < all.length).sort((a, b) => a - b), all.length]) {
            if (cut > from) client.write(all.subarray(from, cut));
            from = cut;
            await server.clock.settle();
          }
          if (ends) client.end();
          await server.clock.settle();
          expect(client.text).toBe('one\ntwo\n');
          expect(served.map(({ peer }) => peer)).toEqual([CLIENT]);
          expect(server.log.closes).toEqual(ends ? ['ended'] : []);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('and bytes behind it is passed on whole to a handler that reads later', async () => {
    const ready = new Subject<void>();
    const received: string[] = [];
    const server = await TestServer.open(
      async (connection) => {
        await firstValueFrom(ready);
        for await (const text of connection.pipe(lines())) received.push(text);
      },
      { proxy: { trusted } },
    );
    const client = await server.connect({ address: PROXY });
    client.write(Buffer.concat([header, Buffer.from('one\n')]));
    await server.clock.settle();
    client.write('two\n');
    await server.clock.settle();
    ready.next();
    await server.clock.settle();
    client.write('three\n');
    await server.clock.settle();
    expect(received).toEqual(['one', 'two', 'three']);
  });

  it('of LOCAL, a health check of the proxy, has the address of the proxy itself', async () => {
    const { server, served } = await echo();
    const client = await server.connect({ address: PROXY });
    client.write(encodeProxyHeader({ command: 'local' }));
    await server.clock.settle();
    expect(served[0]?.peer).toEqual(PROXY);
    expect(served[0]?.via).toMatchObject({ ...PROXY, header: { command: 'local' } });
  });

  it('is handed out only when the header is complete, and counts as waiting until then', async () => {
    const { server, served } = await echo();
    const client = await server.connect({ address: PROXY });
    client.write(header.subarray(0, 20));
    await server.clock.settle();
    expect(served).toEqual([]);
    expect(server.log.counters).toMatchObject({ accepted: 1, waiting: 1, active: 0 });
    client.write(header.subarray(20));
    await server.clock.settle();
    expect(served).toHaveLength(1);
    expect(server.log.counters).toMatchObject({ waiting: 0, active: 1 });
  });

  it('may send its first bytes and its FIN together with the header', async () => {
    const { server } = await echo();
    const client = await server.connect({ address: PROXY });
    client.write(Buffer.concat([header, Buffer.from('last\n')]));
    client.end();
    await server.clock.settle();
    expect(client.text).toBe('last\n');
    expect(server.log.closes).toEqual(['ended']);
  });

  it('waits in the waiting room with its first bytes', async () => {
    const { server, served } = await echo({ trusted }, { concurrency: 1 });
    const first = await server.connect({ address: PROXY });
    first.write(header);
    await server.clock.settle();
    const second = await server.connect({ address: PROXY });
    second.write(Buffer.concat([line, Buffer.from('waited\n')]));
    await server.clock.settle();
    expect(served).toHaveLength(1);
    first.end();
    await server.clock.advance(2000);
    expect(served).toHaveLength(2);
    expect(second.text).toBe('waited\n');
  });
});

describe('a connection is refused as `proxy`', () => {
  const refusals = async (address: typeof PROXY, data: Uint8Array | string | undefined, ends = false) => {
    const { server, served } = await echo();
    const client = await server.connect({ address });
    if (data !== undefined) client.write(data);
    if (ends) client.end();
    await server.clock.settle();
    expect(served).toEqual([]);
    expect(server.network.sockets.size).toBe(0);
    const [refused] = server.log.of('refused');
    return { ...refused, text: client.text, over: client.over };
  };

  it.each<[string, typeof PROXY, Uint8Array | string | undefined]>([
    ['if its address is not trusted, before it sends anything', STRANGER, undefined],
    ['without a header', PROXY, 'hello\n'],
    ['with a header that is malformed', PROXY, 'PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n'],
    [
      'with a header of an unknown version',
      PROXY,
      Buffer.concat([header.subarray(0, 12), Buffer.of(0x31, 0x11, 0, 12)]),
    ],
  ])('%s', async (_what, address, data) => {
    const refused = await refusals(address, data);
    expect(refused).toMatchObject({ reason: 'proxy', peer: address, error: { name: 'ProxyHeaderError' }, text: '' });
    expect(refused.over).toBe(true);
  });

  it('if its input ends within the header', async () => {
    expect(await refusals(PROXY, header.subarray(0, 30), true)).toMatchObject({ reason: 'proxy' });
  });

  it('but as `gone` if it only connects and closes, as the health check of a proxy does', async () => {
    expect(await refusals(PROXY, undefined, true)).toMatchObject({ reason: 'gone' });
  });
});

describe('the deadline of the PROXY header', () => {
  it('counts from the accept, and sent bytes do not extend it', async () => {
    const { server } = await echo({ trusted, deadline: 3000 });
    const client = await server.connect({ address: PROXY });
    for (let i = 0; i < 29; i++) {
      client.write(header.subarray(i, i + 1));
      await server.clock.advance(100);
    }
    expect(server.log.refusals).toEqual([]);
    await server.clock.advance(100);
    expect(server.log.of('refused')).toMatchObject([{ reason: 'deadline', deadline: 'proxy', peer: PROXY }]);
    expect(server.network.sockets.size).toBe(0);
  });

  it('is 5 s by default', async () => {
    const { server } = await echo();
    await server.connect({ address: PROXY });
    await server.clock.advance(4999);
    expect(server.log.refusals).toEqual([]);
    await server.clock.advance(1);
    expect(server.log.refusals).toEqual(['deadline']);
  });

  it('counts as part of the greeting', async () => {
    const { server } = await echo({ trusted }, { greeting: 4000 });
    const client = await server.connect({ address: PROXY });
    await server.clock.advance(3000);
    client.write(header);
    await server.clock.advance(999);
    expect(client.ended).toBe(false);
    await server.clock.advance(1);
    expect(client.ended).toBe(true);
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['greeting']);
  });
});

describe('with mode `optional`', () => {
  const optional = { trusted, mode: 'optional', deadline: 1000 } as const;

  it.each([
    ['a proxy', PROXY],
    ['any other client', STRANGER],
  ])('%s may begin without a header', async (_who, address) => {
    const { server, served } = await echo(optional);
    const client = await server.connect({ address });
    client.write('P');
    await server.clock.settle();
    client.write('LAIN\n');
    await server.clock.settle();
    expect(client.text).toBe('PLAIN\n');
    expect(served[0]?.peer).toEqual(address);
    expect(served[0]?.via).toBeUndefined();
  });

  it('a header of an address that is not trusted is refused', async () => {
    const { server, served } = await echo(optional);
    const client = await server.connect({ address: STRANGER });
    client.write(header);
    await server.clock.settle();
    expect(served).toEqual([]);
    expect(server.log.of('refused')).toMatchObject([{ reason: 'proxy', peer: STRANGER }]);
  });

  it('a client that sends nothing is served after the deadline', async () => {
    const { server, served } = await echo(optional);
    await server.connect({ address: STRANGER });
    await server.clock.advance(999);
    expect(served).toEqual([]);
    await server.clock.advance(1);
    expect(served).toHaveLength(1);
  });

  it('a client that has begun a header is refused after the deadline', async () => {
    const { server, served } = await echo(optional);
    const client = await server.connect({ address: PROXY });
    client.write(header.subarray(0, 5));
    await server.clock.advance(1000);
    expect(served).toEqual([]);
    expect(server.log.of('refused')).toMatchObject([{ reason: 'deadline', deadline: 'proxy' }]);
  });
});

describe('connections that have not sent their header', () => {
  it.each([
    [1500, 1500],
    [0, 1000],
  ])('are as many as may wait (%i), and at least a thousand: one more is refused as full', async (max, most) => {
    const { server } = await echo({ trusted }, { waiting: { max }, farewell: 'full\n' });
    for (let i = 0; i < most; i++) server.network.connect({ address: PROXY });
    await server.clock.settle();
    expect(server.log.refusals).toEqual([]);
    const more = await server.connect({ address: PROXY });
    expect(server.log.refusals).toEqual(['full']);
    // Nothing is sent: over TLS it could not be.
    expect([more.over, more.text]).toEqual([true, '']);
  });

  it('come in although none may wait', async () => {
    const { server } = await echo({ trusted }, { waiting: { max: 0 } });
    const client = await server.connect({ address: PROXY });
    client.write(Buffer.concat([header, Buffer.from('hello\n')]));
    await server.clock.settle();
    expect(client.text).toBe('hello\n');
  });

  it('are refused by a drain', async () => {
    const { server } = await echo();
    const client = await server.connect({ address: PROXY });
    client.write(header.subarray(0, 10));
    await server.signal();
    await server.clock.advance(1000);
    expect(server.log.refusals).toEqual(['draining']);
    expect(server.log.report).toMatchObject({ refused: 1, drained: 0, aborted: 0 });
    expect(server.log.completed).toBe(true);
  });

  it('are refused as gone if they are reset', async () => {
    const { server } = await echo();
    const client = await server.connect({ address: PROXY });
    client.write(header.subarray(0, 10));
    await server.clock.settle();
    client.break();
    await server.clock.settle();
    expect(server.log.refusals).toEqual(['gone']);
    await server.clock.advance(10_000);
    expect(server.log.refusals).toEqual(['gone']);
  });
});

describe('connect with `proxy`', () => {
  it('sends the header before anything else', async () => {
    const { server, served } = await echo({ trusted: ['127.0.0.1'] });
    const received: string[] = [];
    const options = { transport: server.network.transport, scheduler: server.clock };
    connect({ port: 1 }, { ...options, proxy: { source: CLIENT, destination: HERE } }).subscribe((connection) => {
      void connection.write('hello\n');
      connection.pipe(lines()).subscribe((text) => received.push(text));
    });
    await server.clock.settle();
    expect(received).toEqual(['hello']);
    expect(served[0]?.peer).toEqual(CLIENT);
  });

  it('throws for what cannot be encoded', () => {
    expect(() => connect({ port: 1 }, { proxy: { version: 3 } as never })).toThrow('version');
  });
});

describe('the option `proxy` is validated', () => {
  it.each([
    [{}, 'trusted'],
    [{ trusted: [] }, 'trusted'],
    [{ trusted: ['example.org'] }, 'trusted'],
    [{ trusted, mode: 'perhaps' }, 'mode'],
    [{ trusted, deadline: 0 }, 'deadline'],
  ])('%j', async (proxy, name) => {
    await expect(TestServer.open((connection) => connection, { proxy } as never)).rejects.toThrow(name);
  });
});
