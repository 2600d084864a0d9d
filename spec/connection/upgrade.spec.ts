import { once } from 'node:events';
import { createServer, connect as rawConnect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import fc from 'fast-check';
import { BehaviorSubject, firstValueFrom, mergeMap, NEVER, of, Subject } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type Connection,
  type ConnectOptions,
  connect,
  exchange,
  type Handler,
  idle,
  lines,
  type ServeOptions,
  serve,
  type TlsOptions,
  type Where,
} from '../../lib/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { Log } from '../support/log.ts';

const HOST = '127.0.0.1';

let root: Authority;
let good: Issued;
beforeAll(async () => {
  root = await authority();
  good = await root.issue();
});

const logs: Log[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const log of logs.splice(0)) log.subscription?.unsubscribe();
  // Those of TLS first: Node ends the process if the one beneath is destroyed before.
  for (const socket of sockets.splice(0).reverse()) socket.destroy();
});

/** What one server has done for its clients. */
class Served {
  readonly commands: string[] = [];
  readonly connections: Connection[] = [];
  readonly failures: unknown[] = [];

  /** Answers one command. STARTTLS secures the connection behind its reply. */
  async answer(command: string, connection: Connection, tls: TlsOptions = good): Promise<string | undefined> {
    this.commands.push(command);
    if (command !== 'STARTTLS') return `${connection.security ? 'secured' : 'clear'} ${command}\n`;
    void connection.write('220 ready\n');
    await this.upgrade(connection, tls);
    return undefined;
  }

  async upgrade(connection: Connection, tls: TlsOptions = good): Promise<void> {
    this.connections.push(connection);
    try {
      await connection.upgrade(tls);
    } catch (error) {
      this.failures.push(error);
      throw error;
    }
  }
}

/** The ways to answer one command after the other. */
const handlers: Record<string, (served: Served) => Handler> = {
  exchange: (served) => exchange(lines(), (line, one) => served.answer(line, one)),
  'exchange of requests side by side': (served) =>
    exchange(lines(), (line, one) => served.answer(line, one), { concurrency: 8 }),
  'exchange behind another operator': (served) => (one) =>
    exchange(
      (source) => source.pipe(idle(60_000), lines()),
      (line: string) => served.answer(line, one),
    )(one),
  'async function with a loop': (served) => async (one) => {
    for await (const line of one.pipe(lines())) {
      const reply = await served.answer(line, one);
      if (reply !== undefined) await one.write(reply);
    }
  },
  'async generator': (served) =>
    async function* (one) {
      for await (const line of one.pipe(lines())) {
        const reply = await served.answer(line, one);
        if (reply !== undefined) yield reply;
      }
    },
  mergeMap: (served) => (one) =>
    one.pipe(
      lines(),
      mergeMap((line) => served.answer(line, one)),
    ),
};

async function open(
  make: (served: Served) => Handler = handlers.exchange as never,
  options: ServeOptions = {},
  where: Where = { port: 0, host: HOST },
) {
  const served = new Served();
  const log = Log.follow(serve(where, make(served), options));
  logs.push(log);
  return { served, log, port: await log.whenListening() };
}

function raw(port: number) {
  const socket = rawConnect(port, HOST);
  sockets.push(socket);
  const seen = { socket, text: '', ended: false, error: undefined as Error | undefined };
  socket.on('data', (chunk) => {
    seen.text += chunk;
  });
  socket.on('end', () => {
    seen.ended = true;
  });
  socket.on('error', (error) => {
    seen.error = error;
  });
  return seen;
}

/** Reads until a text is there. */
async function received(client: { socket: Socket; text: string }, text: string): Promise<void> {
  while (!client.text.includes(text)) await once(client.socket, 'data');
}

/** Secures a raw client. */
async function secured(client: { socket: Socket }, options: ConnectionOptions = {}) {
  client.socket.removeAllListeners('data');
  const socket = tlsConnect({ socket: client.socket, ca: root.ca, host: HOST, ...options });
  sockets.push(socket);
  const seen = { socket, text: '', ended: false };
  socket.on('data', (chunk) => {
    seen.text += chunk;
  });
  socket.on('end', () => {
    seen.ended = true;
  });
  await once(socket, 'secureConnect');
  return seen;
}

const client = (port: number, options: ConnectOptions = {}) => firstValueFrom(connect({ port, host: HOST }, options));

describe('a connection that is upgraded', () => {
  it.each(Object.entries(handlers))('goes on secured, with the same operators: %s', async (_name, make) => {
    const { served, log, port } = await open(make);
    const one = raw(port);
    one.socket.write('one\n');
    await received(one, 'clear one\n');
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    const tls = await secured(one, { servername: 'localhost' });
    tls.socket.write('two\nthr');
    await received(tls, 'secured two\n');
    tls.socket.end('ee\n');
    await once(tls.socket, 'close');
    expect(tls).toMatchObject({ text: 'secured two\nsecured three\n', ended: true });
    await log.whenEmitted('closed');
    expect(served.commands).toEqual(['one', 'STARTTLS', 'two', 'three']);
    expect(served.connections[0]?.security).toMatchObject({ protocol: 'TLSv1.3', servername: 'localhost' });
    expect(log.closes).toEqual(['ended']);
    // Without the bytes of the handshake.
    expect(log.of('closed')[0]).toMatchObject({ bytesIn: 4 + 9 + 4 + 6, bytesOut: 10 + 10 + 12 + 14, unsent: 0 });
  });

  it.each(Object.entries(handlers))('may have asked in one read with other commands: %s', async (_name, make) => {
    const { served, log, port } = await open(make);
    // Longer than what `lines` decodes at a time.
    const long = 'x'.repeat(5000);
    const one = raw(port);
    one.socket.write(`one\n${long}\nSTARTTLS\n`);
    await received(one, '220 ready\n');
    const tls = await secured(one, { servername: 'localhost' });
    tls.socket.end('two\n');
    await once(tls.socket, 'close');
    // What works side by side replies to earlier commands after the upgrade has begun.
    expect(tls.text).toMatch(/secured two\n$/);
    await log.whenEmitted('closed');
    expect(served.commands).toEqual(['one', long, 'STARTTLS', 'two']);
  });

  it('can be the client', async () => {
    const { served, port } = await open();
    const connection = await client(port);
    const replies: string[] = [];
    void connection.write('one\nSTARTTLS\n');
    for await (const reply of connection.pipe(lines())) {
      replies.push(reply);
      if (reply === '220 ready') {
        const security = await connection.upgrade({ ca: root.ca });
        expect(security).toMatchObject({ isVerified: true, protocol: 'TLSv1.3' });
        expect(connection.security).toBe(security);
        void connection.write('two\n');
      }
      if (reply === 'secured two') break;
    }
    expect(replies).toEqual(['clear one', '220 ready', 'secured two']);
    expect(served.commands).toEqual(['one', 'STARTTLS', 'two']);
  });

  it.each([
    ['another host', async () => root.issue({ hosts: ['other.test'] }), 'ERR_TLS_CERT_ALTNAME_INVALID'],
    [
      'an unknown authority',
      async () => (await authority({ name: 'Another' })).issue(),
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
  ])('does not accept the certificate of %s', async (_what, issue, code) => {
    const certificate = await issue();
    const { port, log } = await open((served) =>
      exchange(lines(), (line, one) => served.answer(line, one, certificate)),
    );
    const connection = await client(port);
    void connection.write('STARTTLS\n');
    const closed = firstValueFrom(connection.closed);
    const input = connection.pipe(lines())[Symbol.asyncIterator]();
    expect(await input.next()).toMatchObject({ value: '220 ready' });
    await expect(connection.upgrade({ ca: root.ca })).rejects.toMatchObject({ name: 'TlsError', code });
    await expect(input.next()).rejects.toMatchObject({ name: 'ConnectionClosedError', reason: 'tls' });
    expect(await closed).toMatchObject({ reason: 'tls', error: { code } });
    await log.whenEmitted('closed');
  });

  it('can be upgraded over a unix socket', async () => {
    const path = join(tmpdir(), `sluice-upgrade-${process.pid}.sock`);
    const served = new Served();
    const log = Log.follow(
      serve(
        { path },
        exchange(lines(), (line, one) => served.answer(line, one)),
      ),
    );
    logs.push(log);
    await log.whenEmitted('listening');
    const connection = await firstValueFrom(connect({ path }));
    void connection.write('STARTTLS\n');
    for await (const reply of connection.pipe(lines())) {
      if (reply === 'secured two') break;
      await connection.upgrade({ ca: root.ca, servername: 'localhost' });
      void connection.write('two\n');
    }
    expect(served.commands).toEqual(['STARTTLS', 'two']);
  });

  it('can be upgraded before anything is read', async () => {
    const { port, log } = await open((served) => async (one) => {
      await served.upgrade(one);
      for await (const line of one.pipe(lines())) await one.write(`${line}!\n`);
    });
    const tls = await secured(raw(port));
    tls.socket.end('hello\n');
    await once(tls.socket, 'close');
    expect(tls.text).toBe('hello!\n');
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['ended']);
  });

  it('goes on for a handler that never reads, and ends when the peer leaves', async () => {
    const { port, log } = await open((served) => (one) => {
      void served.upgrade(one).then(() => one.write('hello\n'));
      return NEVER;
    });
    const one = raw(port);
    await received(await secured(one), 'hello\n');
    one.socket.resetAndDestroy();
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['reset']);
  });

  it('is upgraded whatever the pieces are that the commands and the handshake come in', async () => {
    const { port } = await open();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }), async (sizes) => {
        const pieces = cutting(port, sizes);
        const connection = await client(await pieces.port);
        void connection.write('STARTTLS\n');
        for await (const reply of connection.pipe(lines())) {
          if (reply === 'secured two') break;
          await connection.upgrade({ ca: root.ca });
          void connection.write('two\n');
        }
        pieces.server.close();
      }),
      { numRuns: 10 },
    );
  });

  it('uses the option `tls` of a server with `startTls`, with its renewals and events', async () => {
    const tls = new BehaviorSubject<TlsOptions>(good);
    const handler = exchange(lines(), async (line, one) => {
      if (line !== 'STARTTLS') return `${line}\n`;
      void one.write('220 ready\n');
      await one.upgrade();
      return undefined;
    });
    const { port, log } = await open(() => handler, { tls, startTls: true });
    const fingerprint = async () => {
      const one = raw(port);
      one.socket.write('STARTTLS\n');
      await received(one, '220 ready\n');
      return (await secured(one)).socket.getPeerX509Certificate()?.fingerprint256;
    };
    const first = await fingerprint();
    expect(await fingerprint()).toBe(first);
    tls.next({ cert: 'broken', key: 'broken' });
    expect(await fingerprint()).toBe(first);
    tls.next(await root.issue());
    expect(await fingerprint()).not.toBe(first);
    expect(log.types.filter((type) => type === 'certificate' || type === 'failed')).toEqual([
      'certificate',
      'failed',
      'certificate',
    ]);
  });

  it('are many at once', async () => {
    const { port, log } = await open();
    const COUNT = 60;
    const conversations = Array.from({ length: COUNT }, async () => {
      const connection = await client(port);
      void connection.write('STARTTLS\n');
      for await (const reply of connection.pipe(lines())) {
        if (reply === 'secured two') return true;
        await connection.upgrade({ ca: root.ca });
        void connection.write('two\n');
      }
      return false;
    });
    expect(new Set(await Promise.all(conversations))).toEqual(new Set([true]));
    await log.whenEmitted('closed', COUNT);
    expect(new Set(log.closes)).toEqual(new Set(['ended']));
  });
});

/** A relay to a port that passes on what a client sends in pieces of these sizes. */
function cutting(to: number, sizes: readonly number[]) {
  const server = createServer((one) => {
    const other = rawConnect(to, HOST);
    sockets.push(one, other);
    other.on('error', () => one.destroy());
    one.on('error', () => other.destroy());
    other.setNoDelay(true);
    other.pipe(one);
    let next = 0;
    one.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; ) {
        const size = sizes[next++ % sizes.length] as number;
        other.write(chunk.subarray(at, at + size));
        at += size;
      }
    });
    one.on('end', () => other.end());
  });
  const port = new Promise<number>((resolve) =>
    server.listen(0, HOST, () => resolve((server.address() as { port: number }).port)),
  );
  return { server, port };
}

describe('what is written', () => {
  it('before is sent in clear text, and later only over TLS', async () => {
    const { port, log } = await open((served) => async (one) => {
      for await (const _line of one.pipe(lines())) {
        void one.write('220 ready\n');
        const upgraded = served.upgrade(one);
        void one.write('secret\n');
        await upgraded;
      }
    });
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    const tls = await secured(one);
    await received(tls, 'secret\n');
    expect(one.text).toBe('220 ready\n');
    tls.socket.end();
    await log.whenEmitted('closed');
    expect(log.of('closed')[0]).toMatchObject({ reason: 'ended', bytesOut: 17, unsent: 0 });
  });

  it('never leaves in clear text if there is no handshake', async () => {
    const { port, log } = await open((served) => async (one) => {
      for await (const _line of one.pipe(lines())) {
        void one.write('220 ready\n');
        served.upgrade(one).catch(() => undefined);
        void one.write('secret\n');
        one.end();
      }
    });
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    one.socket.end();
    await log.whenEmitted('closed');
    if (!one.socket.closed) await new Promise((resolve) => one.socket.once('close', resolve));
    expect(one.text).toBe('220 ready\n');
    expect(log.of('closed')[0]).toMatchObject({ bytesOut: 10, unsent: 7 });
  });

  it('and ended within the handshake is sent, and ends with close_notify', async () => {
    const { port, log } = await open((served) => (one) => {
      void served.upgrade(one);
      return of('bye\n');
    });
    const tls = await secured(raw(port));
    await once(tls.socket, 'close');
    expect(tls).toMatchObject({ text: 'bye\n', ended: true });
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['completed']);
  });

  it('before, and is not taken yet, is sent in clear text first', async () => {
    const LARGE = 'x'.repeat(8 * 1024 * 1024);
    const { port, log } = await open(
      (served) => async (one) => {
        for await (const line of one.pipe(lines())) {
          if (line === 'hello') void one.write('hello\n');
          else {
            void one.write(LARGE);
            void one.write('and more\n');
            const upgraded = served.upgrade(one);
            void one.write('secret\n');
            await upgraded;
          }
        }
      },
      { maxOutbound: 64 * 1024 * 1024 },
    );
    const one = raw(port);
    one.socket.pause();
    one.socket.write('STARTTLS\n');
    await log.whenEmitted('opened');
    let clear = 0;
    await new Promise<void>((resolve) => {
      one.socket.removeAllListeners('data');
      one.socket.resume().on('data', (chunk) => {
        clear += chunk.length;
        if (clear < LARGE.length + 9) return;
        expect(chunk.toString().endsWith('and more\n')).toBe(true);
        resolve();
      });
    });
    expect(clear).toBe(LARGE.length + 9);
    const tls = await secured(one);
    await received(tls, 'secret\n');
    tls.socket.end();
    await log.whenEmitted('closed');
    expect(log.of('closed')[0]).toMatchObject({ reason: 'ended', bytesOut: LARGE.length + 16, unsent: 0 });
  });
});

describe('bytes in clear text', () => {
  it.each(Object.entries(handlers))('behind the command are not passed on: %s', async (_name, make) => {
    for (const injected of ['EVIL\n', 'EV', '\n', 'EVIL\nEVIL\nEVIL\n']) {
      const { served, log, port } = await open(make);
      const one = raw(port);
      one.socket.write(`one\nSTARTTLS\n${injected}`);
      await log.whenEmitted('closed');
      expect(served.commands).toEqual(['one', 'STARTTLS']);
      expect(log.of('closed')[0]).toMatchObject({ reason: 'tls', error: { code: 'ERR_TLS_CLEAR_TEXT' } });
      expect(served.failures).toMatchObject([{ name: 'TlsError', code: 'ERR_TLS_CLEAR_TEXT' }]);
    }
  });

  it('that come later are not passed on either', async () => {
    const { served, log, port } = await open();
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    one.socket.write('EVIL\n');
    await log.whenEmitted('closed');
    expect(served.commands).toEqual(['STARTTLS']);
    expect(log.of('closed')[0]).toMatchObject({ reason: 'tls', error: { code: 'ERR_SSL_WRONG_VERSION_NUMBER' } });
  });

  it('behind the command that are the begin of the handshake are not used', async () => {
    const { log, port } = await open();
    const one = raw(port);
    const hello = tlsConnect({ host: HOST, port, socket: one.socket }).on('error', () => undefined);
    one.socket.removeAllListeners('connect');
    await once(one.socket, 'connect');
    hello.destroy();
    const other = raw(port);
    other.socket.write(Buffer.concat([Buffer.from('STARTTLS\n'), Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0])]));
    await log.until(() => log.of('closed').some(({ reason }) => reason === 'tls'));
    expect(log.of('closed').find(({ reason }) => reason === 'tls')?.error).toMatchObject({
      code: 'ERR_TLS_CLEAR_TEXT',
    });
  });

  it('behind the reply of a server are not passed on', async () => {
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write('220 go ahead\n250 EVIL\n'));
    }).listen(0, HOST);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const connection = await client(port);
    void connection.write('STARTTLS\n');
    const replies: string[] = [];
    const conversation = (async () => {
      for await (const reply of connection.pipe(lines())) {
        replies.push(reply);
        await connection.upgrade({ ca: root.ca });
      }
    })();
    await expect(conversation).rejects.toMatchObject({ name: 'TlsError', code: 'ERR_TLS_CLEAR_TEXT' });
    expect(replies).toEqual(['220 go ahead']);
    expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'tls' });
    server.close();
  });
});

describe('an upgrade that fails', () => {
  it('at its deadline closes the connection for that', async () => {
    const { served, log, port } = await open(undefined, { handshake: 30, idle: 10 });
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['handshake']);
    expect(served.failures).toMatchObject([{ name: 'DeadlineError', deadline: 'handshake' }]);
  });

  it.each([
    ['ends', (socket: Socket) => socket.end(), 'tls'],
    ['resets', (socket: Socket) => socket.resetAndDestroy(), 'reset'],
  ] as const)('because the peer %s the connection, closes it', async (_what, leave, reason) => {
    const { served, log, port } = await open();
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    leave(one.socket);
    await log.whenEmitted('closed');
    expect(log.closes).toEqual([reason]);
    expect(served.failures).toHaveLength(1);
  });

  it('because a client does not trust the certificate, closes the connection', async () => {
    const { served, log, port } = await open();
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    const socket = tlsConnect({ socket: one.socket, ca: (await authority({ name: 'Another' })).ca, host: HOST });
    const [error] = await once(socket, 'error');
    expect(error.code).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    await log.whenEmitted('closed');
    // Node's client destroys its socket, which may overtake its alert.
    expect(['tls', 'reset']).toContain(log.closes[0]);
    expect(served.failures).toHaveLength(1);
  });

  it.each([
    ['aborted', (one: Connection) => one.abort(), 'aborted'],
    ['aborted by the handler within', (one: Connection) => one.abort('no'), 'aborted'],
  ] as const)('because the connection is %s, is rejected', async (_what, end, reason) => {
    const { served, log, port } = await open();
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    end(served.connections[0] as Connection);
    await log.whenEmitted('closed');
    expect(log.closes).toEqual([reason]);
    expect(served.failures).toMatchObject([{ name: 'ConnectionClosedError', reason }]);
  });

  it('because the server is aborted by a drain, is rejected', async () => {
    const shutdown = new Subject<void>();
    const { served, log, port } = await open(undefined, { shutdown, grace: 20 });
    const one = raw(port);
    one.socket.write('STARTTLS\n');
    await received(one, '220 ready\n');
    shutdown.next();
    await log.whenCompleted();
    expect(log.closes).toEqual(['aborted']);
    expect(served.failures).toHaveLength(1);
  });

  it('because the peer has ended its side before, is rejected at once', async () => {
    const failed = new Subject<unknown>();
    const handler: Handler = (connection) => {
      connection.subscribe({ complete: () => connection.upgrade(good).catch((error) => failed.next(error)) });
      return NEVER;
    };
    const { log, port } = await open(() => handler, { handshake: 600_000 });
    const rejected = firstValueFrom(failed);
    raw(port).socket.end('one\n');
    expect(await rejected).toMatchObject({ code: 'ECONNRESET' });
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['tls']);
  });

  it('need not be awaited', async () => {
    const { log, port } = await open(() => (one) => {
      void one.upgrade(good);
      return NEVER;
    });
    raw(port).socket.end('nothing of TLS\n');
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['tls']);
  });
});

describe('a connection is not upgraded', () => {
  /** Calls back with a connection that goes on. */
  async function refused(use: (one: Connection) => Promise<unknown>, options: ServeOptions = {}) {
    let outcome: Promise<unknown> | undefined;
    const { port, log } = await open(
      () => (one) => {
        outcome = use(one);
        outcome.catch(() => undefined);
        return one;
      },
      options,
    );
    const one = raw(port);
    const rejected = async () => {
      await log.whenEmitted('opened');
      return outcome;
    };
    return { outcome: rejected, one, log, port };
  }

  it.each<[string, unknown, string]>([
    ['a path in place of a certificate', { cert: 'cert.pem', key: 'key.pem' }, 'and not its path'],
    ['no certificate', {}, 'there must be a cert and its key'],
    ['a number', 5, 'it must be an object of options, not number'],
    ['nothing', undefined, 'it takes tls, or the options tls and startTls'],
  ])('with %s, and goes on', async (_what, tls, message) => {
    const { outcome, one } = await refused((connection) => connection.upgrade(tls as TlsOptions));
    await expect(outcome()).rejects.toThrow(message);
    await expect(outcome()).rejects.toThrow(TypeError);
    one.socket.end('hello\n');
    await once(one.socket, 'close');
    expect(one.text).toBe('hello\n');
  });

  it('a second time', async () => {
    const { outcome, one } = await refused(async (connection) => {
      void connection.upgrade(good);
      await connection.upgrade(good);
    });
    await expect(outcome()).rejects.toThrow('TLS has begun already');
    const tls = await secured(one);
    tls.socket.end('hello\n');
    await once(tls.socket, 'close');
    expect(tls.text).toBe('hello\n');
  });

  it('if it is secured', async () => {
    const { outcome, port } = await refused((connection) => connection.upgrade(good), { tls: good });
    const socket = tlsConnect({ port, host: HOST, ca: root.ca });
    sockets.push(socket);
    await expect(outcome()).rejects.toThrow('TLS has begun already');
  });

  it('once it has ended', async () => {
    const { outcome } = await refused((connection) => {
      connection.end();
      return connection.upgrade(good);
    });
    await expect(outcome()).rejects.toMatchObject({ name: 'ConnectionClosedError' });
  });

  it('once it is half-closed', async () => {
    const { outcome } = await refused((connection) => {
      connection.halfClose();
      return connection.upgrade(good);
    });
    await expect(outcome()).rejects.toMatchObject({ name: 'ConnectionClosedError' });
  });

  it('on a transport without TLS', async () => {
    const network = new MemoryNetwork();
    let outcome: Promise<unknown> | undefined;
    const upgrading: Handler = (one) => {
      outcome = one.upgrade(good);
      return one;
    };
    const log = Log.follow(
      serve({ port: 0 }, upgrading, {
        transport: network.transport,
      }),
    );
    logs.push(log);
    await log.whenListening();
    network.connect();
    await log.whenEmitted('opened');
    await expect(outcome).rejects.toThrow('its transport has no TLS');
  });
});
