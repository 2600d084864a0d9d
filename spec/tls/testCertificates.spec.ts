import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { type ConnectionOptions, connect, createServer, type TlsOptions } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { authority, EXPIRED, type Issued, inDays, NOT_YET_VALID, selfSigned } from '../support/certificates.ts';

let server: Server | undefined;

afterEach(async () => {
  server?.close();
  server = undefined;
});

/** Connects, and waits until the server has confirmed the handshake. @returns `'accepted'`, or the code of the error. */
async function handshake(serverOptions: TlsOptions, clientOptions: ConnectionOptions): Promise<unknown> {
  const listening = createServer(serverOptions, (socket) => socket.on('error', () => undefined).end('accepted'));
  server = listening.listen(0, '127.0.0.1').on('tlsClientError', () => undefined);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ...clientOptions });
  return new Promise((resolve) => {
    client.on('data', (data) => resolve(String(data)));
    client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    client.on('close', () => resolve('closed'));
  });
}

const root = await authority();
const rsaRoot = await authority({ name: 'RSA "quoted", and more', type: 'rsa' });

describe('a certificate of the support', () => {
  it.each([
    ['ECDSA by ECDSA', () => root.issue(), root.ca],
    ['RSA by ECDSA', () => root.issue({ type: 'rsa' }), root.ca],
    ['ECDSA by RSA', () => rsaRoot.issue(), rsaRoot.ca],
    ['RSA by RSA', () => rsaRoot.issue({ type: 'rsa' }), rsaRoot.ca],
  ])('is accepted by a client that trusts its authority: %s', async (_kinds, issue, ca) => {
    expect(await handshake(await issue(), { ca })).toBe('accepted');
  });

  it('is accepted by its address, where the client asks for no name', async () => {
    const { cert, key } = await root.issue({ hosts: ['127.0.0.1'] });
    expect(await handshake({ cert, key }, { ca: root.ca, servername: '' })).toBe('accepted');
  });

  it('is accepted with its intermediate authorities, and fails without them', async () => {
    const below = await (await root.intermediate()).intermediate({ name: 'second', type: 'rsa' });
    expect(await handshake(await below.issue(), { ca: root.ca })).toBe('accepted');
    server?.close();
    expect(await handshake(await below.issue({ chain: false }), { ca: root.ca })).toBe(
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    );
  });

  it.each<[string, string, () => Promise<Issued>, string?]>([
    ['has expired', 'CERT_HAS_EXPIRED', () => root.issue(EXPIRED)],
    ['is not yet valid', 'CERT_NOT_YET_VALID', () => root.issue(NOT_YET_VALID)],
    ['is self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT', () => selfSigned()],
    ['is for another host', 'ERR_TLS_CERT_ALTNAME_INVALID', () => root.issue({ hosts: ['example.org'] })],
    ['is for clients', 'INVALID_PURPOSE', () => root.issue({ usage: 'client' })],
    ['has another authority', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', () => rsaRoot.issue()],
    ['has an expired authority', 'CERT_HAS_EXPIRED', async () => (await root.intermediate(EXPIRED)).issue()],
  ])('fails if it %s: %s', async (_what, code, issue) => {
    expect(await handshake(await issue(), { ca: root.ca })).toBe(code);
  });

  it.each<[string, string, () => Promise<Issued>]>([
    ['accepts one for clients', 'accepted', () => root.issue({ usage: 'client', hosts: [], name: 'device 7' })],
    ['refuses one for servers', 'refused', () => root.issue()],
    ['refuses one of another authority', 'refused', () => rsaRoot.issue({ usage: 'client' })],
    ['refuses one that has expired', 'refused', () => root.issue({ usage: 'client', ...EXPIRED })],
  ])('is shown by a client: a server that asks for it %s', async (_what, expected, issue) => {
    const result = await handshake(
      { ...(await root.issue()), ca: root.ca, requestCert: true },
      { ...(await issue()), ca: root.ca },
    );
    expect(result === 'accepted' ? result : 'refused').toBe(expected);
  });

  it('has its names, its validity, and a serial number of its own', async () => {
    const options = { hosts: ['a.test', '::1'], name: 'A, "B"', notBefore: inDays(-1), notAfter: inDays(2) };
    const [one, two] = await Promise.all([root.issue(options), root.issue(options)]);
    const certificate = new X509Certificate(one.cert);
    expect(certificate.subjectAltName).toBe('DNS:a.test, IP Address:0:0:0:0:0:0:0:1');
    expect(certificate.toLegacyObject().subject.CN).toBe('A, "B"');
    expect(Date.parse(certificate.validTo) / 1000).toBe(Math.floor(options.notAfter.getTime() / 1000));
    expect(certificate.serialNumber).not.toBe(new X509Certificate(two.cert).serialNumber);
  });

  it('has a key that its passphrase decrypts', async () => {
    const pair = await root.issue({ passphrase: 'secret' });
    expect(pair.key).toContain('ENCRYPTED PRIVATE KEY');
    expect(await handshake({ ...pair, passphrase: 'secret' }, { ca: root.ca })).toBe('accepted');
  });

  it('has another key than the two RSA certificates before it', async () => {
    const keys = [];
    for (let i = 0; i < 3; i++) keys.push((await root.issue({ type: 'rsa' })).key);
    expect(new Set(keys).size).toBe(3);
  });
});
