import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { Subject, share } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { logTo } from '../../lib/logging/logTo.ts';
import { serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import type { TlsOptions } from '../../lib/tls/tlsSide.ts';
import { type Authority, authority, inDays } from '../support/certificates.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const HOST = '127.0.0.1';
const DAY = 86_400_000;

let root: Authority;
beforeAll(async () => {
  root = await authority();
});

const servers: Log[] = [];
const sockets: TLSSocket[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  for (const socket of sockets.splice(0)) socket.destroy();
});

function open(tls: Subject<TlsOptions>) {
  const log = Log.follow(serve({ port: 0, host: HOST }, (connection) => connection, { tls }));
  servers.push(log);
  return log;
}

/** A secured client, and the serial number of the certificate that it was shown. */
async function client(port: number) {
  const socket = connect({ port, host: HOST, ca: root.ca });
  sockets.push(socket);
  await once(socket, 'secureConnect');
  return { socket, serialNumber: socket.getPeerCertificate().serialNumber };
}

async function echoes(socket: TLSSocket): Promise<void> {
  socket.write('ping');
  const [chunk] = await once(socket, 'data');
  expect(String(chunk)).toBe('ping');
}

describe('a renewal of the certificate', () => {
  it('holds for new connections, and closes none', async () => {
    const tls = new Subject<TlsOptions>();
    const log = open(tls);
    const [one, two] = [await root.issue(), await root.issue({ type: 'rsa' })];
    tls.next(one);
    const port = await log.whenListening();
    const before = await client(port);
    tls.next(two);
    const after = await client(port);
    expect(after.serialNumber).not.toBe(before.serialNumber);
    await echoes(before.socket);
    await echoes(after.socket);
    const shown = log.of('certificate').flatMap(({ certificates }) => certificates);
    expect(shown.map(({ serialNumber }) => serialNumber)).toEqual([before.serialNumber, after.serialNumber]);
    expect(log.closes).toEqual([]);
  });

  it('that node:tls does not accept is refused with an event, and the one before stays', async () => {
    const tls = new Subject<TlsOptions>();
    const log = open(tls);
    const [one, two] = [await root.issue(), await root.issue()];
    tls.next(one);
    const port = await log.whenListening();
    const { serialNumber } = await client(port);
    const error = new Error('the files cannot be read');
    const incomplete = [undefined, {}, { cert: two.cert }, 'x', []] as TlsOptions[];
    for (const bad of [{ cert: one.cert, key: two.key }, { cert: 'x', key: 'y' }, { ...two, error }, ...incomplete])
      tls.next(bad as TlsOptions);
    expect(log.of('failed')).toHaveLength(8);
    expect(log.of('certificate')).toHaveLength(1);
    expect(log.of('failed')[2]).toMatchObject({ error: { name: 'TlsError', cause: error } });
    expect((await client(port)).serialNumber).toBe(serialNumber);
    tls.next(two);
    expect((await client(port)).serialNumber).not.toBe(serialNumber);
  });

  it('lets a client resume the session of the one before', async () => {
    const tls = new Subject<TlsOptions>();
    const log = open(tls);
    const policy = { ca: [Buffer.from(root.ca)], ALPNProtocols: ['echo'] };
    tls.next({ ...(await root.issue()), ...policy });
    const port = await log.whenListening();
    const first = connect({ port, host: HOST, ca: root.ca, maxVersion: 'TLSv1.2' });
    sockets.push(first);
    const [session] = await once(first, 'session');
    tls.next({ ...(await root.issue()), ...policy, ca: [Buffer.from(root.ca)] });
    const second = connect({ port, host: HOST, ca: root.ca, maxVersion: 'TLSv1.2', session });
    sockets.push(second);
    await once(second, 'secureConnect');
    expect(second.isSessionReused()).toBe(true);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'that asks for another certificate resumes no session, by %s',
    async (version) => {
      const tls = new Subject<TlsOptions>();
      const log = open(tls);
      const [issued, other] = [await root.issue(), await authority()];
      const options = { host: HOST, ca: root.ca, ...(await root.issue({ usage: 'client' })), maxVersion: version };
      // Client certificates of one authority, and then of another.
      tls.next({ ...issued, ca: root.ca, requestCert: true });
      const port = await log.whenListening();
      const first = connect({ port, ...options });
      sockets.push(first);
      const [session] = await once(first, 'session');
      tls.next({ ...issued, ca: other.ca, requestCert: true });
      const second = connect({ port, ...options, session }).on('error', () => {});
      sockets.push(second);
      await log.whenEmitted('refused');
      expect(log.refusals).toEqual(['tls']);
    },
  );

  it('that never comes leaves the last one: the Observable may complete, or error, which is an event', async () => {
    const tls = new Subject<TlsOptions>();
    const log = open(tls);
    tls.next(await root.issue());
    const port = await log.whenListening();
    tls.error(new Error('no more'));
    expect(log.of('failed')).toMatchObject([{ error: { name: 'TlsError', cause: { message: 'no more' } } }]);
    await echoes((await client(port)).socket);
  });
});

describe('the first certificate', () => {
  it('opens the port', async () => {
    const tls = new Subject<TlsOptions>();
    const log = open(tls);
    expect(tls.observed).toBe(true);
    expect(log.types).toEqual([]);
    tls.next(await root.issue());
    await log.whenListening();
    log.subscription?.unsubscribe();
    expect(tls.observed).toBe(false);
  });

  it.each<[string, (tls: Subject<TlsOptions>) => void, RegExp]>([
    [
      'is one that node:tls does not accept',
      (tls) => tls.next({ cert: 'x', key: 'y' }),
      /cert must be the contents of a PEM file, and not its path/,
    ],
    ['is an error', (tls) => tls.error(new Error('no file')), /no file/],
    ['does not come', (tls) => tls.complete(), /emitted no options/],
  ])('that %s is an error of the server', async (_what, emit, message) => {
    const tls = new Subject<TlsOptions>();
    const log = open(tls);
    emit(tls);
    await log.whenCompleted();
    expect(String(log.fault)).toMatch(message);
    expect(tls.observed).toBe(false);
  });

  it('given as an object is checked at the call', () => {
    expect(() => serve({ port: 0 }, (connection) => connection, { tls: { cert: 'x', key: 'y' } })).toThrow(TypeError);
    expect(() => serve({ port: 0 }, (connection) => connection, { tls: 5 as never })).toThrow(
      'tls must be what node:tls takes',
    );
  });

  it.each<[string, unknown, string]>([
    ['nothing', {}, 'there must be a cert and its key'],
    ['a certificate without its key', { cert: '-----BEGIN' }, 'there must be a cert and its key'],
    ['a path', { cert: '/etc/ssl/a.pem', key: '-----BEGIN' }, 'not its path'],
    ['a Promise', Promise.resolve(), 'it must be an object of options'],
    ['an array', [], 'not an array'],
    ['the text of a key', '-----BEGIN PRIVATE KEY-----secret', 'not string'],
  ])('given as %s is refused at the call, and not shown', (_what, tls, message) => {
    const call = () => serve({ port: 0 }, (connection) => connection, { tls: tls as TlsOptions });
    expect(call).toThrow(message);
    expect(call).not.toThrow('secret');
  });

  it('that is given as an object opens the port at once', async () => {
    const server = await TestServer.open((connection) => connection, { tls: await root.issue() });
    expect(server.log.types).toEqual(['certificate', 'listening']);
    server.log.subscription?.unsubscribe();
  });
});

describe('the event `certificate`', () => {
  it('warns when a fifth of the validity is left, a twentieth, and nothing', async () => {
    const issued = await root.issue({ hosts: ['a.test', '10.0.0.1'], notBefore: inDays(-50), notAfter: inDays(50) });
    const lines: [string, string][] = [];
    const server = await TestServer.open((connection) => connection, { tls: issued });
    const days = () =>
      server.log.of('certificate').map(({ validFor, isExpiring }) => [Math.round(validFor / DAY), isExpiring]);
    expect(days()).toEqual([[50, false]]);
    expect(server.log.of('certificate')[0]?.certificates).toMatchObject([{ hosts: ['a.test', '10.0.0.1'] }]);
    await server.clock.advance(29 * DAY);
    expect(days()).toHaveLength(1);
    await server.clock.advance(2 * DAY);
    expect(days().slice(1)).toEqual([[20, true]]);
    await server.clock.advance(15 * DAY);
    expect(days().slice(2)).toEqual([[5, true]]);
    await server.clock.advance(10 * DAY);
    expect(days().slice(3)).toEqual([[0, true]]);
    await server.clock.advance(100 * DAY);
    expect(days()).toHaveLength(4);

    const record = (level: string) => (line: string) => void lines.push([level, line]);
    const logger = logTo({
      debug: record('debug'),
      info: record('info'),
      warn: record('warn'),
      error: record('error'),
    });
    for (const event of server.log.of('certificate').slice(0, 2)) logger.next(event);
    expect(lines.map(([level]) => level)).toEqual(['info', 'warn']);
    expect(lines[0]?.[1]).toContain('the certificate of a.test, 10.0.0.1 is valid until ');
    server.log.subscription?.unsubscribe();
  });

  it('warns at once of a certificate that ends soon', async () => {
    const issued = await root.issue({ notBefore: inDays(-99), notAfter: inDays(1) });
    const server = await TestServer.open((connection) => connection, { tls: issued });
    expect(server.log.of('certificate')).toMatchObject([{ isExpiring: true }]);
    server.log.subscription?.unsubscribe();
  });
});

it('subscribers that share the events of a server all receive its first certificate, before `listening`', async () => {
  const clock = new Clock();
  const { transport } = new MemoryNetwork(clock);
  const tls = await root.issue();
  const events = serve({ port: 0 }, (connection) => connection, { transport, scheduler: clock, tls }).pipe(share());
  const logs = [Log.follow(events), Log.follow(events)];
  await clock.settle();
  for (const log of logs) expect(log.types).toEqual(['certificate', 'listening']);
  for (const log of logs) log.subscription?.unsubscribe();
});

it('a server that is unsubscribed at once emits no certificate', async () => {
  const clock = new Clock();
  const { transport } = new MemoryNetwork(clock);
  const tls = await root.issue();
  const seen: unknown[] = [];
  const listener = (message: unknown) => seen.push(message);
  subscribe('sluice.certificate', listener);
  serve({ port: 0 }, (connection) => connection, { transport, scheduler: clock, tls })
    .subscribe()
    .unsubscribe();
  await clock.settle();
  unsubscribe('sluice.certificate', listener);
  expect(seen).toEqual([]);
});

it('the first certificate comes before `listening` in whatever callback the server is subscribed to', async () => {
  const tls = await root.issue();
  const seen = await new Promise<string[]>((resolve) => {
    setImmediate(() => {
      const log = Log.follow(serve({ port: 0, host: HOST }, (connection) => connection, { tls }));
      servers.push(log);
      log
        .whenEmitted('certificate')
        .then(() => log.whenListening())
        .then(() => resolve(log.types));
    });
  });
  expect(seen).toEqual(['certificate', 'listening']);
});
