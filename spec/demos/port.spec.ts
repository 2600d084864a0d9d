import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectPlain, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Authority, authority } from '../support/certificates.ts';
import { DemoServer, endDemos } from '../support/demoServer.ts';
import { spawnDemo } from '../support/spawnDemo.ts';

let folder: string;
let root: Authority;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-port-'));
  root = await authority();
  const { cert, key } = await root.issue();
  await writeFile(join(folder, 'server.pem'), cert + key);
  await writeFile(join(folder, 'ca.pem'), root.ca);
});

afterAll(() => rm(folder, { recursive: true }));

const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await endDemos();
});

/** Sends a text, and resolves with what comes back: the first bytes, or nothing if the connection is closed before. */
function ask(socket: Socket, text: string): Promise<string> {
  sockets.add(socket);
  socket.write(text);
  return new Promise((resolve) => {
    socket.once('data', (data) => resolve(data.toString()));
    socket.once('error', () => undefined).once('close', () => resolve(''));
  });
}

const overTls = (port: number, options: ConnectionOptions): TLSSocket =>
  connect({ host: '127.0.0.1', port, servername: 'localhost', ...options });

const withCertificate = (): string[] =>
  ['--tls-cert', '--tls-key'].flatMap((option) => [option, join(folder, 'server.pem')]);

it.each([
  ['echo', 'hello\n', 'hello\n'],
  ['redis/server', 'PING\r\n', '+PONG\r\n'],
  ['memcached/server', 'mn\r\n', 'MN\r\n'],
])('%s serves TLS with a self-signed certificate, whose fingerprint it logs', async (name, text, reply) => {
  const server = new DemoServer(name, ['--host', '127.0.0.1', '--tls-self-signed']);
  const port = await server.whenListening();
  const socket = overTls(port, { rejectUnauthorized: false });
  expect(await ask(socket, text)).toBe(reply);
  const { fingerprint256 } = socket.getPeerCertificate();
  expect(server.events).toContainEqual(expect.objectContaining({ type: 'selfSigned', fingerprint256 }));
});

it('echo serves only clients with a certificate, where their authority is given', async () => {
  const server = new DemoServer('echo', [...withCertificate(), '--tls-ca', join(folder, 'ca.pem')]);
  const port = await server.whenListening();
  const { ca } = root;
  expect(await ask(overTls(port, { ca, ...(await root.issue({ usage: 'client' })) }), 'hello\n')).toBe('hello\n');
  expect(await ask(overTls(port, { ca }), 'hello\n')).toBe('');
});

it('echo reads the PROXY header of a proxy that it trusts, before TLS, and serves no client without it', async () => {
  const server = new DemoServer('echo', [...withCertificate(), '--proxy-from', '127.0.0.0/8', '--verbose']);
  const port = await server.whenListening();
  const raw = connectPlain(port, '127.0.0.1');
  raw.write('PROXY TCP4 192.0.2.9 192.0.2.1 1234 443\r\n');
  expect(await ask(overTls(port, { socket: raw, ca: root.ca }), 'hello\n')).toBe('hello\n');
  // Its log may come after its reply.
  await server.whenEmitted('opened');
  expect(server.of('opened').map(({ peer }) => peer)).toEqual([
    expect.objectContaining({ address: '192.0.2.9', port: 1234 }),
  ]);
  expect(await ask(overTls(port, { ca: root.ca }), 'hello\n')).toBe('');
  await server.until(({ refusals }) => refusals.length > 0, 'a refusal');
  expect(server.refusals).toEqual(['proxy']);
});

it.each([
  ['echo', 'echo'],
  ['memcached/server', 'memcached'],
  ['smtp', 'smtp'],
])('%s ends with a sentence if it cannot use a certificate', async (name, called) => {
  const { code, stderr, stdout } = await spawnDemo(name, ['--port=0', '--tls-cert=/none', '--tls-key=/none']).done;
  expect({ code, stderr, stdout }).toEqual({
    code: 1,
    stderr: `${called}: cannot use /none: there is no such file or folder (ENOENT)\n`,
    stdout: '',
  });
});
