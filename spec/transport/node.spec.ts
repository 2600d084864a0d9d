import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { nodeTransport } from '../../lib/transport/node.ts';
import type { Address, Port, TransportSocket } from '../../lib/transport/transport.ts';
import { endPrograms, Program } from '../support/program.ts';
import { quickest } from '../support/quickest.ts';
import { dialTo, open, readAll } from '../support/sockets.ts';

/** The next call of `freed` on a socket, and what it heard before. */
function hearing(socket: TransportSocket, heard: string[] = []): Promise<string[]> {
  return new Promise((resolve) => {
    socket.handler = {
      received: (chunk) => heard.push(`received ${chunk.length}`),
      peerEnded: () => heard.push('peerEnded'),
      writable: () => heard.push('drained'),
      finished: () => heard.push('finished'),
      writeFailed: (error) => {
        heard.push(`writeFailed ${(error as NodeJS.ErrnoException).code}`);
        socket.destroy();
      },
      failed: (error) => heard.push(`broken ${(error as NodeJS.ErrnoException).code}`),
      freed: () => resolve(heard),
    };
  });
}

const kinds = { 'a TCP socket': () => undefined, 'a unix socket': unixPath };

async function unixPath() {
  return { path: join(await mkdtemp(join(tmpdir(), 'sluice-')), 's') };
}

describe.each(Object.entries(kinds))('nodeTransport, %s', (_kind, place) => {
  const withPort = async (
    run: (opened: Awaited<ReturnType<typeof open>>, next: () => Promise<TransportSocket>) => Promise<void>,
  ) => {
    const where = await place();
    const waiting: ((socket: TransportSocket) => void)[] = [];
    const opened = await open((socket) => {
      socket.handler = {
        received() {},
        peerEnded() {},
        writable() {},
        finished() {},
        writeFailed() {},
        failed() {},
        freed() {},
      };
      waiting.shift()?.(socket);
    }, where);
    await run(opened, () => new Promise((resolve) => waiting.push(resolve)));
    opened.port.close();
    if (where) await rm(join(where.path, '..'), { recursive: true });
  };

  it('frees a socket that is reset while its FIN is under way', async () => {
    await withPort(async ({ connect }, next) => {
      const accepted = next();
      const client = connect();
      const socket = await accepted;
      const freed = hearing(socket);
      socket.resume();
      socket.write('last words');
      socket.end();
      socket.reset();
      client.resume();
      expect((await freed).join()).not.toMatch(/EINVAL/);
      client.destroy();
      if (!client.closed) await once(client, 'close');
    });
  });

  it('hears of bytes, the FIN of the peer and its own, each once, and is freed last', async () => {
    await withPort(async ({ connect }, next) => {
      const accepted = next();
      const client = connect();
      const socket = await accepted;
      const freed = hearing(socket);
      socket.resume();
      client.end('hello');
      socket.write('hi');
      socket.end();
      const reply = readAll(client);
      expect((await freed).filter((what) => what !== 'drained').sort()).toEqual([
        'finished',
        'peerEnded',
        'received 5',
      ]);
      expect((await reply).toString()).toBe('hi');
    });
  });

  it('has a constant number of listeners for its whole life', async () => {
    await withPort(async ({ connect }, next) => {
      const accepted = next();
      const client = connect();
      const socket = await accepted;
      const resumed = vi.spyOn(Socket.prototype, 'resume');
      socket.resume();
      const [raw] = resumed.mock.contexts as Socket[];
      resumed.mockRestore();
      const count = () => raw?.eventNames().reduce((sum, name) => sum + (raw?.listenerCount(name) ?? 0), 0);
      const freed = hearing(socket);
      const before = count();
      expect(before).toBeGreaterThan(0);
      client.resume();
      for (let round = 0; round < 50; round++) {
        socket.resume();
        client.write('x');
        socket.write(['y', Buffer.alloc(100_000), 'é']);
        socket.pause();
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(count()).toBe(before);
      socket.reset();
      await freed;
    });
  });

  it('says what has not been taken, in bytes, while a large write is under way and when it is broken off', async () => {
    await withPort(async ({ connect }, next) => {
      const accepted = next();
      const client = connect();
      const socket = await accepted;
      client.pause();
      const broken = new Promise<number[]>((resolve) => {
        const figures = () => [socket.pending, socket.bytesWritten];
        socket.handler = {
          received() {},
          peerEnded() {},
          writable() {},
          finished() {},
          freed() {},
          writeFailed: () => resolve(figures()),
          failed: () => resolve(figures()),
        };
      });
      socket.resume();
      const text = 'é'.repeat(8_000_000);
      expect(socket.write(text)).toBe(false);
      expect(socket.bytesWritten).toBe(16_000_000);
      const before = socket.pending;
      expect(before).toBeGreaterThan(0);
      expect(before).toBeLessThan(16_000_000);
      if (client.remotePort === undefined) client.destroy();
      else client.resetAndDestroy();
      const [pending = 0, written] = await broken;
      expect(written).toBe(16_000_000);
      // No more than at first; and bytes, of which there are twice as many as characters.
      expect(pending).toBeLessThanOrEqual(before);
      expect(pending).toBeGreaterThan(8_000_000);
    });
  });
});

describe('nodeTransport', () => {
  afterEach(endPrograms);

  it('has copied the address of its peer at accept: it is there when the peer is gone [E14]', async () => {
    const { port, address, socket, client } = await accept();
    const from = client.localPort;
    const freed = hearing(socket);
    expect(socket.local).toEqual({ address: '127.0.0.1', port: address.port });
    socket.resume();
    client.resetAndDestroy();
    expect(await freed).toEqual(['broken ECONNRESET']);
    expect(socket.peer).toEqual({ address: '127.0.0.1', port: from });
    port.close();
  });

  it('hears of a RST within 50 ms while it is read', async () => {
    const heard = async () => {
      const { port, socket, client } = await accept();
      const freed = hearing(socket);
      socket.resume();
      const begun = performance.now();
      client.resetAndDestroy();
      await freed;
      port.close();
      return performance.now() - begun;
    };
    expect(await quickest(50, heard)).toBeLessThan(50);
  });

  it.skipIf(process.platform !== 'linux').each([
    [60_000, /^02:0000[01]/],
    [0, /^02:000000/],
    [1e10, /^02:0031F/],
    [Number.POSITIVE_INFINITY, /^00:/],
    [false, /^00:/],
  ] as const)('has the kernel probe a silent peer after its time: %s', async (keepAlive, timer) => {
    const sockets: TransportSocket[] = [];
    const options = { backlog: 1, noDelay: true, keepAlive };
    const accepted = (socket: TransportSocket) => void sockets.push(socket);
    let port: Port | undefined;
    const address = await new Promise<Address>((listening, error) => {
      port = nodeTransport.listen(HERE, options, { listening, accepted, error });
    });
    const client = dialTo(address.port as number);
    await once(client, 'connect');
    await vi.waitFor(() => expect(sockets).toHaveLength(1));
    expect(timerOf(client)).toMatch(timer);
    for (const socket of sockets) socket.destroy();
    client.destroy();
    port?.close();
  });

  it.skipIf(process.platform !== 'linux')('has it do so for the worker of a cluster, too', async () => {
    const server = new Program('worker');
    const client = dialTo(await server.whenListening());
    await server.whenSaid('opened');
    // The server may have heard of it before we have.
    if (client.connecting) await once(client, 'connect');
    expect(timerOf(client)).toMatch(/^02:0000[01]/);
    client.destroy();
    server.kill('SIGKILL');
    await server.whenExited();
  });

  it('keeps no port that is closed before it is open', async () => {
    const heard: unknown[] = [];
    const handler = {
      listening: (at: unknown) => heard.push(at),
      accepted() {},
      error: (error: unknown) => heard.push(error),
    };
    const how = { backlog: 1, noDelay: true, keepAlive: false as const };
    const open = () => process.getActiveResourcesInfo().filter((kind) => kind.includes('Server')).length;
    await new Promise((resolve) => setImmediate(resolve));
    const before = open();
    for (const where of [{ port: 0 }, { port: 0, host: '127.0.0.1' }, { port: 0, host: 'localhost' }])
      nodeTransport.listen(where, how, handler).close();
    // A look-up of the name that began later is answered later.
    await lookup('localhost');
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(heard).toEqual([]);
    // One of another spec may have gone meanwhile.
    expect(open()).toBeLessThanOrEqual(before);
  });

  it('tells that a port is taken', async () => {
    const { port, address } = await open(() => undefined);
    await expect(open(() => undefined, { port: address.port as number, host: '127.0.0.1' })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    port.close();
  });
});

const HERE = { port: 0, host: '127.0.0.1' };

/** The port of an address in `/proc/net/tcp`, such as `0100007F:1B58`. */
const portIn = (address = '') => Number.parseInt(address.split(':')[1] ?? '', 16);

/**
 * The timer at the other end of a client's connection, from the kernel's own table, as Node tells nobody. `02` is a socket
 * whose next probe is due, in hundredths of a second.
 */
function timerOf({ localPort, remotePort }: Socket): string | undefined {
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  return rows.find(([, from, to]) => portIn(from) === remotePort && portIn(to) === localPort)?.[5];
}

/** A client, and the socket at the other end. */
async function accept() {
  let accepted: (socket: TransportSocket) => void = () => undefined;
  const first = new Promise<TransportSocket>((resolve) => {
    accepted = resolve;
  });
  const opened = await open((socket) => {
    socket.handler = {
      received() {},
      peerEnded() {},
      writable() {},
      finished() {},
      writeFailed() {},
      failed() {},
      freed() {},
    };
    accepted(socket);
  });
  const client = opened.connect();
  const socket = await first;
  if (client.connecting) await once(client, 'connect');
  return { ...opened, client, socket };
}
