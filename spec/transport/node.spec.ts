import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MOST_PIECES } from '../../lib/transport/gather.ts';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { Address, Port, Transport, TransportSocket, Where } from '../../lib/transport/transport.ts';
import { endPrograms, Program } from '../support/program.ts';
import { quickest } from '../support/quickest.ts';
import { dialTo, open, readAll } from '../support/sockets.ts';

/** Resolves when the socket is freed, with the notifications before that. */
function notifications(socket: TransportSocket): Promise<string[]> {
  const notified: string[] = [];
  return new Promise((resolve) => {
    socket.handler = {
      received: (chunk) => notified.push(`received ${chunk.length}`),
      peerEnded: () => notified.push('peerEnded'),
      writable: () => notified.push('writable'),
      finished: () => notified.push('finished'),
      writeFailed: (error) => {
        notified.push(`writeFailed ${(error as NodeJS.ErrnoException).code}`);
        socket.destroy();
      },
      failed: (error) => notified.push(`failed ${(error as NodeJS.ErrnoException).code}`),
      freed: () => resolve(notified),
    };
  });
}

const transports = [
  ['handle', nodeTransport],
  ['net', netTransport],
] as const;

const kinds = [
  ...transports.map(([name, transport]) => [name, 'a TCP socket', transport, () => undefined] as const),
  ...transports.map(([name, transport]) => [name, 'a unix socket', transport, unixPath] as const),
];

async function unixPath() {
  return { path: join(await mkdtemp(join(tmpdir(), 'sluice-')), 's') };
}

describe.each(kinds)('transport %s, %s', (_name, _kind, transport, place) => {
  const withSocket = async (run: (client: Socket, socket: TransportSocket) => Promise<void>) => {
    const where = await place();
    const { port, client, socket } = await accept(transport, where);
    await run(client, socket);
    port.close();
    if (where) await rm(join(where.path, '..'), { recursive: true });
  };

  it('frees a socket that is reset while its FIN is in flight', async () => {
    await withSocket(async (client, socket) => {
      const freed = notifications(socket);
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

  it("notifies its handler once of bytes, of the peer's FIN and of its own, and last that it is freed", async () => {
    await withSocket(async (client, socket) => {
      const freed = notifications(socket);
      socket.resume();
      client.end('hello');
      socket.write('hi');
      socket.end();
      const reply = readAll(client);
      expect((await freed).filter((what) => what !== 'writable').sort()).toEqual([
        'finished',
        'peerEnded',
        'received 5',
      ]);
      expect((await reply).toString()).toBe('hi');
    });
  });

  if (transport === netTransport)
    it('has a constant number of listeners while it is open', async () => {
      await withSocket(async (client, socket) => {
        const resumed = vi.spyOn(Socket.prototype, 'resume');
        socket.resume();
        const [raw] = resumed.mock.contexts as Socket[];
        resumed.mockRestore();
        const count = () => raw?.eventNames().reduce((sum, name) => sum + (raw?.listenerCount(name) ?? 0), 0);
        const freed = notifications(socket);
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

  it('writes more pieces than libuv 1.52 takes in one write, of bytes and of text', async () => {
    await withSocket(async (client, socket) => {
      const received = readAll(client);
      const pieces = new Array<string | Uint8Array>(MOST_PIECES + 1).fill(Buffer.of(7)).with(-1, 'é');
      const freed = notifications(socket);
      socket.write(pieces);
      socket.end();
      socket.resume();
      const bytes = await received;
      client.end();
      expect((await freed).filter((what) => what !== 'writable')).toEqual(['finished', 'peerEnded']);
      expect(bytes.length).toBe(MOST_PIECES + 2);
      expect(bytes.subarray(-2).toString()).toBe('é');
    });
  });

  it('reports the bytes that were not taken, during a large write and after a reset', async () => {
    await withSocket(async (client, socket) => {
      client.pause();
      const aborted = new Promise<number[]>((resolve) => {
        const figures = () => [socket.pending, socket.bytesWritten];
        socket.handler = { ...NO_HANDLER, writeFailed: () => resolve(figures()), failed: () => resolve(figures()) };
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
      const [pending = 0, written] = await aborted;
      expect(written).toBe(16_000_000);
      // At most as many as before. They are bytes, because each character has two.
      expect(pending).toBeLessThanOrEqual(before);
      expect(pending).toBeGreaterThan(8_000_000);
    });
  });
});

describe.each(transports)('transport %s', (name, transport) => {
  afterEach(endPrograms);

  it('copies the address of its peer at accept, so that it is known after the peer has closed', async () => {
    const { port, address, socket, client } = await accept(transport);
    const from = client.localPort;
    const freed = notifications(socket);
    expect(socket.local).toEqual({ address: '127.0.0.1', port: address.port });
    socket.resume();
    client.resetAndDestroy();
    expect(await freed).toEqual(['failed ECONNRESET']);
    expect(socket.peer).toEqual({ address: '127.0.0.1', port: from });
    port.close();
  });

  it('notices a RST within 50 ms while it is read', async () => {
    const noticed = async () => {
      const { port, socket, client } = await accept(transport);
      const freed = notifications(socket);
      socket.resume();
      const begun = performance.now();
      client.resetAndDestroy();
      await freed;
      port.close();
      return performance.now() - begun;
    };
    expect(await quickest(50, noticed)).toBeLessThan(50);
  });

  it.skipIf(process.platform !== 'linux').each([
    [60_000, /^02:0000[01]/],
    [0, /^02:000000/],
    [1e10, /^02:0031F/],
    [Number.POSITIVE_INFINITY, /^00:/],
    [false, /^00:/],
  ] as const)('sets the time after which the kernel probes a silent peer: %s', async (keepAlive, timer) => {
    const sockets: TransportSocket[] = [];
    const options = { backlog: 1, noDelay: true, keepAlive };
    const accepted = (socket: TransportSocket) => void sockets.push(socket);
    let port: Port | undefined;
    const address = await new Promise<Address>((listening, error) => {
      port = transport.listen(HERE, options, { listening, accepted, error });
    });
    const client = dialTo(address.port as number);
    await once(client, 'connect');
    await vi.waitFor(() => expect(sockets).toHaveLength(1));
    expect(timerOf(client)).toMatch(timer);
    for (const socket of sockets) socket.destroy();
    client.destroy();
    port?.close();
  });

  it.skipIf(process.platform !== 'linux')('sets it in the worker of a cluster, too', async () => {
    vi.stubEnv('SLUICE_TRANSPORT', name);
    const server = new Program('worker');
    vi.unstubAllEnvs();
    const client = dialTo(await server.whenListening());
    await server.whenEmitted('opened');
    // The server may accept the connection before the client knows that it is connected.
    if (client.connecting) await once(client, 'connect');
    expect(timerOf(client)).toMatch(/^02:0000[01]/);
    client.destroy();
    server.kill('SIGKILL');
    await server.whenExited();
  });

  it('releases a port that is closed before it is open', async () => {
    const notified: unknown[] = [];
    const handler = {
      listening: (at: unknown) => notified.push(at),
      accepted() {},
      error: (error: unknown) => notified.push(error),
    };
    const options = { backlog: 1, noDelay: true, keepAlive: false as const };
    const open = () => process.getActiveResourcesInfo().filter((kind) => kind.includes('Server')).length;
    await new Promise((resolve) => setImmediate(resolve));
    const before = open();
    for (const where of [{ port: 0 }, { port: 0, host: '127.0.0.1' }, { port: 0, host: 'localhost' }])
      transport.listen(where, options, handler).close();
    // Lookups are answered in order: after this one, that of the port has been answered.
    await lookup('localhost');
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(notified).toEqual([]);
    // Less if a server of another spec has closed meanwhile.
    expect(open()).toBeLessThanOrEqual(before);
  });

  it('reports a large write as taken only when its peer has read', async () => {
    const notified: string[] = [];
    let socket: TransportSocket | undefined;
    const accepted = (one: TransportSocket) => {
      const writable = () => notified.push(`writable, ${one.pending} pending`);
      one.handler = { ...NO_HANDLER, writable };
      socket = one;
    };
    const { connect, port } = await open(accepted, HERE, transport);
    const client = connect().pause();
    await vi.waitFor(() => expect(socket).toBeDefined());
    expect(socket?.write('a')).toBe(true);
    expect(socket?.write(Buffer.alloc(16 * 1024 * 1024))).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(notified).toEqual([]);
    client.resume();
    await vi.waitFor(() => expect(notified).toEqual(['writable, 0 pending']), 10_000);
    port.close();
    client.destroy();
  });

  it('reports room once, when several writes are in flight, after the last of them', async () => {
    const { port, socket, client } = await accept(transport);
    const notified: string[] = [];
    const writable = () => notified.push(`writable, ${socket.pending} pending`);
    const finished = () => notified.push('finished');
    socket.handler = { ...NO_HANDLER, writable, finished };
    client.pause();
    for (let round = 0; round < 3; round++) expect(socket.write(Buffer.alloc(8 * 1024 * 1024))).toBe(false);
    socket.end();
    expect((await readAll(client.resume())).length).toBe(24 * 1024 * 1024);
    await vi.waitFor(() => expect(notified).toContain('finished'));
    expect(notified).toEqual(['writable, 0 pending', 'finished']);
    port.close();
    client.destroy();
    socket.destroy();
  });

  it('reports once that writes fail, when several fail in one callback', async () => {
    const { port, socket, client } = await accept(transport);
    const failed: string[] = [];
    socket.handler = { ...NO_HANDLER, writeFailed: (error) => failed.push(error.message) };
    client.resetAndDestroy();
    await vi.waitFor(() => expect(socket.alive).toBe(false));
    for (let round = 0; round < 3; round++) socket.write(`${round}`);
    expect(failed).toEqual([]);
    await vi.waitFor(() => expect(failed).toHaveLength(1));
    await new Promise((resolve) => setImmediate(resolve));
    expect(failed).toEqual(['write ECONNRESET']);
    port.close();
    socket.destroy();
  });

  // The kernel no longer knows the peer then, as after a RST. A connection that was taken for reset would lose these bytes.
  it('takes no socket for reset that has bytes to read after both FINs', async () => {
    const { port, socket, client } = await accept(transport);
    const freed = notifications(socket);
    client.resume();
    socket.end();
    await once(client, 'end');
    client.end('last words');
    await once(client, 'close');
    // The FIN has arrived, and the connection is over for the kernel.
    await vi.waitFor(() => expect(socket.alive).toBe(undefined));
    socket.resume();
    expect(await freed).toEqual(['finished', 'received 10', 'peerEnded']);
    port.close();
  });

  it('keeps the bytes of a write that waits, although other connections write small pieces meanwhile', async () => {
    const accepted: TransportSocket[] = [];
    const { connect, port } = await open(
      (socket) => {
        socket.handler = NO_HANDLER;
        accepted.push(socket);
      },
      HERE,
      transport,
    );
    const clients = [connect(), connect(), connect()];
    await vi.waitFor(() => expect(accepted).toHaveLength(3));
    const sent = accepted.map(() => '');
    // Until no socket takes more. The last pieces of each are still in memory while those of the others are written.
    const stuck = new Set<number>();
    for (let n = 0; stuck.size < 3; n++) {
      const which = n % 3;
      if (stuck.has(which)) continue;
      const pieces = [`${n}:`, Buffer.alloc(5000, 97 + (n % 26)), '\n'];
      sent[which] += pieces.join('');
      if (!accepted[which]?.write(pieces)) stuck.add(which);
    }
    const all = clients.map((client) => readAll(client));
    for (const socket of accepted) socket.end();
    const received = (await Promise.all(all)).map(String);
    expect(received.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
    expect(received.every((text, which) => text === sent[which])).toBe(true);
    port.close();
    for (const client of clients) client.destroy();
  });

  it('goes on after a read that filled the buffer and left nothing to read', async () => {
    const { port, socket, client } = await accept(transport);
    const notified: string[] = [];
    const freed = new Promise<void>((resolve) => {
      let length = 0;
      socket.handler = {
        ...NO_HANDLER,
        received(chunk) {
          length += chunk.length;
          if (length === 64 * 1024) setImmediate(() => client.end('more'));
          if (length > 64 * 1024) notified.push(String(chunk));
        },
        peerEnded() {
          notified.push('peerEnded');
          socket.end();
        },
        freed: resolve,
      };
    });
    // All of it is in the kernel before the first read.
    client.resume().write(Buffer.alloc(64 * 1024));
    await vi.waitFor(() => expect(client.writableLength).toBe(0));
    socket.resume();
    await freed;
    expect(notified).toEqual(['more', 'peerEnded']);
    port.close();
  });

  it.each([
    ['a string', 'x'.repeat(1000)],
    ['a long string', 'x'.repeat(100_000)],
    ['bytes', Buffer.alloc(1000)],
    ['pieces', [Buffer.alloc(500), 'x'.repeat(500)]],
    ['large pieces', [Buffer.alloc(50_000), 'x'.repeat(50_000)]],
  ])('does not count as written what a write that fails at once has not written: %s', async (_what, data) => {
    const { port, socket, client } = await accept(transport);
    expect(socket.write('hello')).toBe(true);
    client.resetAndDestroy();
    // The kernel knows of the RST before the socket is read.
    await vi.waitUntil(() => socket.alive === false, { interval: 1 });
    const failed = new Promise<void>((resolve) => {
      socket.handler = { ...NO_HANDLER, writeFailed: () => resolve(), writable: () => expect.unreachable() };
    });
    // The first one takes the error from the kernel.
    expect(socket.write(data)).toBe(false);
    expect(socket.bytesWritten).toBe(5);
    await failed;
    expect(socket.bytesWritten).toBe(5);
    socket.destroy();
    expect(socket.bytesWritten).toBe(5);
    port.close();
  });

  it('takes nothing once it is closed', async () => {
    const { port, socket, client } = await accept(transport);
    socket.destroy();
    expect([socket.write('text'), socket.write([Buffer.alloc(3), 'more'])]).toEqual([false, false]);
    client.destroy();
    port.close();
  });

  it('reports that a port is taken', async () => {
    const { port, address } = await open(() => undefined, HERE, transport);
    await expect(
      open(() => undefined, { port: address.port as number, host: '127.0.0.1' }, transport),
    ).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    port.close();
  });
});

it.each(transports)(
  'transport %s accepts no IPv4 connection with `ipv6Only`, also without a host',
  async (_name, transport) => {
    const unreachable = () => expect.unreachable();
    let opened: Awaited<ReturnType<typeof open>>;
    try {
      opened = await open(unreachable, { port: 0, ipv6Only: true }, transport);
    } catch (error) {
      // A machine without IPv6: the port is not opened at all.
      expect(error).toMatchObject({ code: expect.stringMatching(/^(EAFNOSUPPORT|EADDRNOTAVAIL)$/) });
      return;
    }
    const client = dialTo(Number(opened.address.port));
    const [error] = await once(client, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    opened.port.close();
  },
);

const HERE = { port: 0, host: '127.0.0.1' };

/** The port of an address in `/proc/net/tcp`, such as `0100007F:1B58`. */
const portIn = (address = '') => Number.parseInt(address.split(':')[1] ?? '', 16);

/**
 * The timer at the other end of a client's connection, from the kernel's table, because Node does not expose it. `02` is a
 * keep-alive timer; its time is in hundredths of a second.
 */
function timerOf({ localPort, remotePort }: Socket): string | undefined {
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  return rows.find(([, from, to]) => portIn(from) === remotePort && portIn(to) === localPort)?.[5];
}

/** A client, and the socket at the other end. */
async function accept(transport: Transport, where: Where = HERE) {
  let accepted: (socket: TransportSocket) => void = () => undefined;
  const first = new Promise<TransportSocket>((resolve) => {
    accepted = resolve;
  });
  const opened = await open(
    (socket) => {
      socket.handler = NO_HANDLER;
      accepted(socket);
    },
    where,
    transport,
  );
  const client = opened.connect();
  const socket = await first;
  if (client.connecting) await once(client, 'connect');
  return { ...opened, client, socket };
}
