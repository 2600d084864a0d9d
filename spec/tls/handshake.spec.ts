import { once } from 'node:events';
import { connect as connectRaw, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { firstValueFrom, map, toArray } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ConnectOptions, connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import type { RefusedEvent } from '../../lib/events.ts';
import { lines } from '../../lib/framing/lines.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import type { TlsOptions } from '../../lib/tls/tlsSide.ts';
import { type Authority, authority, EXPIRED, type Issued, NOT_YET_VALID, selfSigned } from '../support/certificates.ts';
import { hello as clientHello } from '../support/clientHello.ts';
import { Log } from '../support/log.ts';

const HOST = '127.0.0.1';

let root: Authority;
let good: Issued;
beforeAll(async () => {
  root = await authority();
  good = await root.issue();
});

const servers: Log[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  for (const socket of sockets.splice(0)) socket.destroy();
});

const shout: Handler = (connection) =>
  connection.pipe(
    lines(),
    map((line) => `${line.toUpperCase()}\n`),
  );

/** A server with TLS, by default with a good certificate, and what its handler was called with. */
async function open(tls: TlsOptions = {}, options: ServeOptions = {}, answer: Handler = shout) {
  const served: Connection[] = [];
  const handler: Handler = (connection) => {
    served.push(connection);
    return answer(connection);
  };
  const log = Log.follow(serve({ port: 0, host: HOST }, handler, { tls: { ...good, ...tls }, ...options }));
  servers.push(log);
  return { log, served, port: await log.whenListening() };
}

/** A client of `node:tls`, with what it has received; errors are recorded. */
function tlsClient(port: number, options: ConnectionOptions = {}) {
  const socket = connectTls({ port, host: HOST, ca: root.ca, ...options });
  return watched(socket);
}

function rawClient(port: number) {
  return watched(connectRaw({ port, host: HOST }));
}

function watched<T extends Socket>(socket: T) {
  sockets.push(socket);
  const seen = { socket, text: '', bytes: Buffer.alloc(0), error: undefined as NodeJS.ErrnoException | undefined };
  socket.on('data', (chunk) => {
    seen.bytes = Buffer.concat([seen.bytes, chunk]);
    seen.text += chunk;
  });
  socket.on('error', (error) => {
    seen.error = error;
  });
  return seen;
}

async function refusal(log: Log): Promise<RefusedEvent> {
  await log.whenEmitted('refused');
  return log.of('refused')[0] as RefusedEvent;
}

describe('a connection with TLS', () => {
  it('is served when it is secured, and ends with close_notify', async () => {
    const { log, port } = await open();
    const client = tlsClient(port);
    client.socket.write('one\n');
    client.socket.end('two\n');
    await once(client.socket, 'end');
    expect(client.text).toBe('ONE\nTWO\n');
    await log.whenEmitted('closed');
    expect(log.of('closed')).toMatchObject([{ reason: 'ended', bytesIn: 8, bytesOut: 8, unsent: 0 }]);
    expect(client.error).toBeUndefined();
  });

  it('tells what was negotiated', async () => {
    const { log, served, port } = await open({ ALPNProtocols: ['shout', 'whisper'] });
    const client = tlsClient(port, { servername: 'localhost', ALPNProtocols: ['whisper'] });
    await once(client.socket, 'secureConnect');
    await log.whenEmitted('opened');
    const security = {
      protocol: 'TLSv1.3',
      cipher: 'TLS_AES_256_GCM_SHA384',
      alpn: 'whisper',
      servername: 'localhost',
      isResumed: false,
      isVerified: false,
      isTruncated: false,
    };
    expect(served[0]?.security).toMatchObject(security);
    expect(log.of('opened')[0]?.security).toMatchObject(security);
    expect(served[0]?.security?.peerCertificate).toBeUndefined();
  });

  it('has no security without TLS', async () => {
    const { log, served, port } = await open({}, { tls: undefined });
    rawClient(port);
    await log.whenEmitted('opened');
    expect(served[0]?.security).toBeUndefined();
  });

  it('does not begin a further handshake on a connection', async () => {
    const { log, port } = await open({ maxVersion: 'TLSv1.2' });
    const other = tlsClient(port);
    await once(other.socket, 'secureConnect');
    const client = tlsClient(port);
    await once(client.socket, 'secureConnect');
    let isRenegotiated = false;
    client.socket.renegotiate({}, (error) => {
      isRenegotiated = error === null;
    });
    client.socket.write('one\n');
    await log.whenEmitted('closed');
    expect(isRenegotiated).toBe(false);
    // Its own TLS gives up when it is declined.
    expect(client).toMatchObject({ text: '', error: { code: 'EPROTO' } });
    other.socket.end('two\n');
    await once(other.socket, 'end');
    expect(other.text).toBe('TWO\n');
  });

  it('resumes a session', async () => {
    const { served, port } = await open({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    const first = tlsClient(port);
    const [session] = await once(first.socket, 'session');
    first.socket.end();
    const second = tlsClient(port, { session });
    second.socket.end('again\n');
    await once(second.socket, 'end');
    expect(second.text).toBe('AGAIN\n');
    expect(served.map(({ security }) => security?.isResumed)).toEqual([false, true]);
  });

  it.each([
    ['ECDSA', 'ecdsa', false],
    ['RSA', 'rsa', false],
    ['ECDSA, of an intermediate authority', 'ecdsa', true],
  ] as const)('works with a certificate of %s', async (_what, type, isBelow) => {
    const issuer = isBelow ? await root.intermediate({ type }) : root;
    const { port } = await open(await issuer.issue({ type }));
    const connection = await firstValueFrom(connect({ port, host: HOST }, { tls: { ca: root.ca } }));
    void connection.write('hello\n');
    connection.halfClose();
    expect(await firstValueFrom(connection.pipe(lines(), toArray()))).toEqual(['HELLO']);
    expect(connection.security).toMatchObject({ isVerified: true, protocol: 'TLSv1.3' });
    expect(connection.security?.peerCertificate?.subjectAltName).toContain('localhost');
  });

  it('chooses a certificate by the name that the client asks for', async () => {
    const other = await root.issue({ hosts: ['other.test'] });
    const { createSecureContext } = await import('node:tls');
    const context = createSecureContext(other);
    const { port } = await open({
      SNICallback: (name, done) => done(null, name === 'other.test' ? context : undefined),
    });
    const names = async (servername: string) => {
      const tls = { ca: root.ca, servername };
      const connection = await firstValueFrom(connect({ port, host: HOST }, { tls }));
      connection.abort();
      return connection.security?.peerCertificate?.subjectAltName;
    };
    expect(await names('other.test')).toBe('DNS:other.test');
    expect(await names('localhost')).toContain('DNS:localhost');
  });
});

describe('the end of the input of a TLS connection', () => {
  it.each([
    ['with close_notify is not truncated', false],
    ['by a FIN alone is truncated', true],
  ])('%s', async (_what, isTruncated) => {
    const { log, served, port } = await open();
    const raw = connectRaw({ port, host: HOST });
    sockets.push(raw);
    const client = watched(connectTls({ socket: raw, ca: root.ca, servername: 'localhost' }));
    client.socket.write('hello\n');
    while (client.text !== 'HELLO\n') await once(client.socket, 'data');
    if (isTruncated) raw.end();
    else client.socket.end();
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['ended']);
    expect(served[0]?.security?.isTruncated).toBe(isTruncated);
  });
});

describe('certificates of a client', () => {
  /** What a server that asks for certificates does with a client's. */
  async function present(client: Issued | undefined, tls: TlsOptions = {}) {
    const server = await open({ requestCert: true, ca: root.ca, ...tls });
    const { socket } = tlsClient(server.port, { ...client });
    socket.end('hello\n');
    socket.resume();
    await server.log.until(
      ({ events }) => events.some(({ type }) => type === 'closed' || type === 'refused'),
      'an end',
    );
    const { log, served } = server;
    return { security: served[0]?.security, refused: log.of('refused')[0], closes: log.closes };
  }

  it('that are good are verified', async () => {
    const { security, closes } = await present(await root.issue({ usage: 'client', name: 'alice' }));
    expect(closes).toEqual(['ended']);
    expect(security).toMatchObject({ isVerified: true, verifyError: undefined });
    expect(security?.peerCertificate?.subject).toContain('alice');
  });

  it.each<[string, () => Promise<Issued>, string]>([
    ['has expired', () => root.issue({ usage: 'client', ...EXPIRED }), 'CERT_HAS_EXPIRED'],
    ['is not valid yet', () => root.issue({ usage: 'client', ...NOT_YET_VALID }), 'CERT_NOT_YET_VALID'],
    ['is signed by itself', () => selfSigned({ usage: 'client' }), 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['is for servers', () => root.issue({ usage: 'server' }), 'INVALID_PURPOSE'],
    [
      'is of an unknown authority',
      async () => (await authority({ name: 'Unknown' })).issue({ usage: 'client' }),
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
  ])('of which one %s is refused as `tls`', async (_what, issue, code) => {
    const client = await issue();
    const { refused, closes } = await present(client);
    expect(closes).toEqual([]);
    expect(refused).toMatchObject({ reason: 'tls', error: { name: 'TlsError', code } });
    // A server that lets it in is told.
    const { security } = await present(client, { rejectUnauthorized: false });
    expect(security).toMatchObject({ isVerified: false, verifyError: code });
  });

  it('that are missing are refused with an alert', async () => {
    const { refused } = await present(undefined);
    const error = { code: 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', alert: 'certificate_required', sentBy: 'local' };
    expect(refused).toMatchObject({ reason: 'tls', error });
  });
});

describe('certificates of a server', () => {
  const dial = (port: number, options: ConnectOptions = {}) =>
    firstValueFrom(connect({ port, host: HOST }, { tls: { ca: root.ca }, ...options }));

  it.each<[string, () => Promise<Issued>, string]>([
    ['has expired', () => root.issue(EXPIRED), 'CERT_HAS_EXPIRED'],
    ['is not valid yet', () => root.issue(NOT_YET_VALID), 'CERT_NOT_YET_VALID'],
    ['is signed by itself', () => selfSigned(), 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['is for another host', () => root.issue({ hosts: ['other.test'] }), 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['is for clients', () => root.issue({ usage: 'client' }), 'INVALID_PURPOSE'],
    [
      'is of an unknown authority',
      async () => (await authority({ name: 'Unknown' })).issue(),
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
  ])('of which one %s make connect fail', async (_what, issue, code) => {
    const { port } = await open(await issue());
    await expect(dial(port)).rejects.toMatchObject({ name: 'TlsError', code });
  });

  it('that a check of their identity throws for make connect fail with that error', async () => {
    const { log, port } = await open();
    const fault = new Error('no such host');
    const checkServerIdentity = () => {
      throw fault;
    };
    await expect(dial(port, { tls: { ca: root.ca, checkServerIdentity } })).rejects.toMatchObject({ cause: fault });
    await log.until(({ counters }) => counters.waiting + counters.active === 0, 'no connection');
  });

  it('are not checked if the options say so', async () => {
    const { port } = await open(await selfSigned());
    const connection = await dial(port, { tls: { rejectUnauthorized: false } });
    expect(connection.security).toMatchObject({ isVerified: false, verifyError: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    connection.abort();
  });
});

describe('options that node:tls rejects only when a handshake begins', () => {
  it('make connect fail, and leave no connection', async () => {
    const { log, port } = await open();
    const tls = { ca: root.ca, ALPNProtocols: ['x'.repeat(300)] };
    const failed = firstValueFrom(connect({ port, host: HOST }, { tls }));
    await expect(failed).rejects.toMatchObject({ name: 'TlsError', code: 'ERR_OUT_OF_RANGE' });
    expect(await refusal(log)).toMatchObject({ reason: 'gone' });
  });

  it('make the server refuse and close each connection', async () => {
    const { log, port } = await open({ enableTrace: 'yes' as never });
    const { socket } = tlsClient(port);
    await once(socket, 'error');
    expect(await refusal(log)).toMatchObject({ reason: 'tls', error: { code: 'ERR_INVALID_ARG_TYPE' } });
  });
});

describe('a handshake that cannot succeed', () => {
  it.each<[string, ConnectionOptions, TlsOptions, object]>([
    [
      'with TLS 1.1',
      { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' },
      {},
      { code: 'ERR_SSL_UNSUPPORTED_PROTOCOL', alert: 'protocol_version', sentBy: 'local' },
    ],
    [
      'without a common cipher',
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
      { code: 'ERR_SSL_NO_SHARED_CIPHER', alert: 'handshake_failure', sentBy: 'local' },
    ],
    [
      'without a common protocol of ALPN',
      { ALPNProtocols: ['a'] },
      { ALPNProtocols: ['b'] },
      { code: 'ERR_SSL_NO_APPLICATION_PROTOCOL', alert: 'no_application_protocol', sentBy: 'local' },
    ],
  ])('%s is refused with the name of the alert, which the client receives', async (_what, client, tls, error) => {
    const { log, port } = await open(tls);
    const { socket } = tlsClient(port, client);
    const [seen] = await once(socket, 'error');
    expect(seen.message).toContain('alert');
    expect(await refusal(log)).toMatchObject({ reason: 'tls', error });
    expect(log.counters).toMatchObject({ accepted: 1, refused: 1, waiting: 0, active: 0 });
  });

  it.each([
    ['HTTP', 'GET / HTTP/1.1\r\n\r\n'],
    ['a line of text', 'hello\n'],
    ['zeros', '\0\0\0\0\0\0\0\0\0\0'],
  ])('because the client sends %s is refused as `tls`', async (_what, text) => {
    const { log, port } = await open();
    const client = rawClient(port);
    client.socket.write(text, 'latin1');
    await once(client.socket, 'close');
    expect(await refusal(log)).toMatchObject({ reason: 'tls', error: { name: 'TlsError' } });
  });

  it('because the peer leaves is refused as gone: before the hello, within it, and after it', async () => {
    const { log, port } = await open();
    const hello = await clientHello();
    for (const length of [0, 50, hello.length]) {
      const { socket } = rawClient(port);
      socket.write(hello.subarray(0, length));
      if (length === hello.length) await once(socket, 'data');
      socket.end();
      await once(socket, 'close');
    }
    await log.whenEmitted('refused', 3);
    expect(log.refusals).toEqual(['gone', 'gone', 'gone']);
  });

  it('on a port without TLS reaches the handler as bytes', async () => {
    const { log, port } = await open({}, { tls: undefined });
    const client = tlsClient(port);
    client.socket.on('error', () => {});
    await log.whenEmitted('opened');
    client.socket.destroy();
    await log.whenEmitted('closed');
    expect(log.closes).not.toContain('tls');
  });

  it('fails connect as TlsError if the server sends text', async () => {
    const { port } = await open({}, { tls: undefined }, () => 'There is no TLS here.\n');
    const tls = { checkServerIdentity: () => undefined };
    await expect(firstValueFrom(connect({ port, host: HOST }, { tls }))).rejects.toMatchObject({
      name: 'TlsError',
      code: 'ERR_SSL_WRONG_VERSION_NUMBER',
    });
  });
});

describe('a secured connection', () => {
  it('whose peer sends what is no record of TLS is closed as `tls`, with an alert', async () => {
    const { log, port } = await open();
    const raw = connectRaw({ port, host: HOST });
    sockets.push(raw);
    const client = watched(connectTls({ socket: raw, ca: root.ca, servername: 'localhost' }));
    client.socket.write('hello\n');
    while (client.text === '') await once(client.socket, 'data');
    raw.write(Buffer.from([23, 3, 3, 0, 20, ...Array(20).fill(1)]));
    await log.whenEmitted('closed');
    const error = { name: 'TlsError', alert: 'bad_record_mac', sentBy: 'local' };
    expect(log.of('closed')).toMatchObject([{ reason: 'tls', error }]);
    if (!client.socket.closed) await new Promise((resolve) => client.socket.on('close', resolve));
    expect(client.error?.message).toContain('alert number 20');
  });

  it('whose peer sends an alert is closed as `tls`, with its name', async () => {
    // The certificate of a client of TLS 1.3 is checked after its handshake is complete.
    const { port } = await open({ requestCert: true, ca: root.ca });
    const connection = await firstValueFrom(connect({ port, host: HOST }, { tls: { ca: root.ca } }));
    connection.subscribe({ error: () => {} });
    const closed = await firstValueFrom(connection.closed);
    const error = { alert: 'certificate_required', sentBy: 'peer' };
    expect(closed).toMatchObject({ reason: 'tls', error });
  });
});

describe('a hello', () => {
  it('is read however it is split', async () => {
    const { port, served } = await open();
    // Each byte of everything that the client sends is one write.
    const raw = connectRaw({ port, host: HOST, noDelay: true });
    sockets.push(raw);
    await once(raw, 'connect');
    const { Duplex } = await import('node:stream');
    const bytewise = new Duplex({
      read() {},
      async write(chunk: Buffer, _encoding, done) {
        for (const byte of chunk) {
          raw.write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
        done();
      },
    });
    raw.on('data', (chunk) => bytewise.push(chunk));
    const client = watched(connectTls({ socket: bytewise, ca: root.ca, servername: 'localhost' }) as TLSSocket);
    client.socket.write('split\n');
    while (client.text !== 'SPLIT\n') await once(client.socket, 'data');
    expect(served).toHaveLength(1);
  });
});
