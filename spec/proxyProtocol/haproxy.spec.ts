import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ProxyHeaderError } from '../../lib/errors.ts';
import { decodeProxyHeader } from '../../lib/proxyProtocol/decode.ts';
import { encodeProxyHeader, type ProxyHeaderOptions } from '../../lib/proxyProtocol/encode.ts';
import type { ProxyHeader } from '../../lib/proxyProtocol/header.ts';
import { HAProxy, skipped } from '../support/haproxy.ts';
import { binary } from './headers.ts';

const everything = 'send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-key,cert-sig,crc32c,authority,unique-id';
const ignored = 'crt-ignore-err all ca-ignore-err all';
const routes = {
  line: { server: 'send-proxy' },
  binary: { server: 'send-proxy-v2' },
  fields: { server: everything },
  tls: {
    bind: `ssl crt FOLDER/server.pem ca-file FOLDER/known.crt verify optional ${ignored} alpn first,second`,
    server: everything,
  },
  toLine: { bind: 'accept-proxy', server: 'send-proxy' },
  toBinary: { bind: 'accept-proxy', server: 'send-proxy-v2 proxy-v2-options crc32c' },
};
type Name = keyof typeof routes;

let haproxy: HAProxy;
const sockets = new Set<Socket>();

beforeAll(async () => {
  if (!skipped) haproxy = await HAProxy.start(routes);
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});
afterAll(() => haproxy?.stop());

const PAYLOAD = 'the bytes of the client';

function dial(route: Name): Socket {
  const socket = connect(haproxy.port(route), '127.0.0.1').on('error', () => undefined);
  sockets.add(socket);
  return socket;
}

/** The header that HAProxy sends in front of the payload. */
async function received(): Promise<ProxyHeader> {
  const bytes = await haproxy.next(PAYLOAD);
  const decoded = decodeProxyHeader(bytes);
  if (decoded.kind !== 'header') throw new Error(`no header: ${decoded.kind}`);
  expect(bytes.toString('latin1', decoded.length)).toBe(PAYLOAD);
  // HAProxy sends all of it in one write. Here it is read byte by byte.
  for (let length = 0; length < decoded.length; length++) {
    expect(decodeProxyHeader(bytes.subarray(0, length))).toMatchObject({ kind: 'more' });
  }
  return decoded.header;
}

/** Both ends of a socket, as a header has them. */
const endsOf = ({ localAddress, localPort, remoteAddress, remotePort }: Socket) => ({
  source: { address: localAddress, port: localPort },
  destination: { address: remoteAddress, port: remotePort },
});

describe.skipIf(skipped)('a header that HAProxy sends', () => {
  it.each([
    ['line', 1],
    ['binary', 2],
  ] as const)('has the addresses of the client (%s)', async (route, version) => {
    const socket = dial(route);
    socket.write(PAYLOAD);
    await once(socket, 'connect');
    expect(await received()).toEqual({ version, command: 'proxy', ...endsOf(socket), tlvs: [] });
  });

  it('has the checksum and an id', async () => {
    const socket = dial('fields');
    socket.write(PAYLOAD);
    await once(socket, 'connect');
    const { tlvs, ...header } = await received();
    expect(header).toEqual({
      version: 2,
      command: 'proxy',
      ...endsOf(socket),
      uniqueId: new Uint8Array(Buffer.from('fields-127.0.0.1')),
      ssl: { tls: false, certOnConnection: false, certInSession: false, verified: false },
    });
    expect(tlvs.map(({ type }) => type)).toEqual([0x03, 0x05, 0x20]);
  });

  const TLS = { tls: true, version: 'TLSv1.3', keyAlg: 'RSA2048', sigAlg: 'RSA-SHA256', cipher: expect.any(String) };
  it.each([
    ['no certificate', undefined, { certOnConnection: false, certInSession: false, verified: false }],
    ['a certificate', 'known', { certOnConnection: true, certInSession: true, verified: true, cn: 'client.example' }],
    [
      'a certificate of an unknown authority',
      'stranger',
      { certOnConnection: true, certInSession: true, verified: false, cn: 'stranger.example' },
    ],
  ])('has what is known about TLS, with %s', async (_, name, ssl) => {
    const pair = name && { cert: haproxy.read(`${name}.crt`), key: haproxy.read(`${name}.key`) };
    const names = { servername: 'asked.example', ALPNProtocols: ['second'] };
    const socket = connectTls({
      port: haproxy.port('tls'),
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...names,
      ...pair,
    });
    sockets.add(socket.on('error', () => undefined));
    socket.write(PAYLOAD);
    await once(socket, 'secureConnect');
    expect(await received()).toMatchObject({
      version: 2,
      ...endsOf(socket),
      authority: 'asked.example',
      alpn: 'second',
      ssl: { ...TLS, ...ssl },
    });
  });
});

describe.skipIf(skipped)('a header that is sent to HAProxy', () => {
  const port = fc.integer({ min: 0, max: 65_535 });
  const ends = (address: fc.Arbitrary<string>) =>
    fc.record({ source: fc.record({ address, port }), destination: fc.record({ address, port }) });
  const addresses = fc.oneof(ends(fc.ipV4()), ends(fc.ipV6()), ends(fc.oneof(fc.ipV4(), fc.ipV6())));

  /** Both ends of a header, decoded here. */
  const meant = (header: Buffer) => {
    const decoded = decodeProxyHeader(header);
    if (decoded.kind !== 'header') throw new Error(decoded.kind);
    return { source: decoded.header.source, destination: decoded.header.destination };
  };

  it.each([
    ['toLine', 1],
    ['toLine', 2],
    ['toBinary', 1],
    ['toBinary', 2],
  ] as const)('is understood and passed on (%s, from version %d)', async (route, version) => {
    await fc.assert(
      fc.asyncProperty(addresses, fc.boolean(), async (ends, checked) => {
        const rest: ProxyHeaderOptions = version === 2 ? { authority: 'a', netns: 'n', checksum: checked } : {};
        const header = encodeProxyHeader({ version, ...ends, ...rest });
        const socket = dial(route);
        // HAProxy refuses a header that is not there with the first bytes.
        socket.write(Buffer.concat([header, Buffer.from(PAYLOAD)]));
        expect(await received()).toMatchObject(meant(header));
        socket.destroy();
      }),
      { numRuns: 50 },
    );
  });

  it('is understood as LOCAL', async () => {
    const socket = dial('toBinary');
    await once(socket, 'connect');
    socket.write(Buffer.concat([encodeProxyHeader({ command: 'local', checksum: true }), Buffer.from(PAYLOAD)]));
    expect(await received()).toMatchObject(endsOf(socket));
  });

  const four = '0a0000010a00000200010002';
  /** Sends bytes that no receiver may accept. */
  async function refused(bad: Uint8Array): Promise<void> {
    const bytes = Buffer.concat([bad, Buffer.from(PAYLOAD)]);
    expect(() => decodeProxyHeader(bytes)).toThrow(ProxyHeaderError);
    const socket = dial('toBinary');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.resume().write(bytes);
    await closed;
    expect(haproxy.waiting).toBe(0);
  }

  it.each([
    'PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx',
    'PROXY TCP6 ::1::2 ::1 1 2\r\n',
    'PROXY TCP6 fe80::1%lo ::1 1 2\r\n',
    'PROXY TCP6 ::1 ::1 1\r\n',
    'PROXY UNKNOWNS\r\n',
  ])('is refused by both of us: %j', (line) => refused(Buffer.from(line)));

  it.each([
    ['version 1 in binary', binary('1111', four)],
    ['an unknown command', binary('2211', four)],
    ['too few bytes for IPv4', binary('2111', four.slice(2))],
    ['too few bytes for IPv6', binary('2121', four)],
    ['a field without a length', binary('2111', `${four}02`)],
    ['a field with half a length', binary('2111', `${four}0200`)],
    ['a field that runs past the end', binary('2111', `${four}02000261`)],
    ['a wrong checksum', binary('2111', `${four}03000400000000`)],
    ['a checksum of 3 bytes', binary('2111', `${four}030003000000`)],
    ['a unique id of 129 bytes', binary('2111', `${four}050081${'00'.repeat(129)}`)],
  ])('is refused by both of us, with %s', (_, header) => refused(header));
});
