import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { firstValueFrom, from, lastValueFrom, mergeMap, retry, tap, timer, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import { ConnectionClosedError, DeadlineError } from '../../lib/errors.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Destination } from '../../lib/transport/transport.ts';
import { chop } from '../support/bytes.ts';

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
});

/** A server of Node on any free port. */
async function listening(handle: (socket: Socket) => void, where: object = { port: 0, host: '127.0.0.1' }) {
  const server = createServer({ allowHalfOpen: true }, (socket) => handle(socket.on('error', () => undefined)));
  servers.push(server);
  await once(server.listen(where), 'listening');
  return server.address() as AddressInfo;
}

const bytesOf = (connection: Connection) => lastValueFrom(connection.pipe(toArray())).then((all) => Buffer.concat(all));

describe.each(['handle', 'net'])('connect, on real sockets (transport: %s)', (transport) => {
  beforeEach(() => void vi.stubEnv('SLUICE_TRANSPORT', transport));
  afterEach(() => void vi.unstubAllEnvs());

  it('sends and receives all bytes, in pieces of any length, and a FIN in both directions', async () => {
    const { port } = await listening((socket) => socket.pipe(socket));
    const where = { port, host: '127.0.0.1' };
    const pieces = fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1_000_000 }), pieces, async (most, lengths) => {
        // At most some thousand pieces: a million writes of one byte would take minutes.
        const length = Math.min(most, 1000 * Math.max(...lengths));
        const sent = Buffer.alloc(length, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
        const connection = await firstValueFrom(connect(where));
        const closed = firstValueFrom(connection.closed);
        const received = bytesOf(connection);
        for (const piece of chop(sent, lengths)) await connection.write(piece);
        connection.halfClose();
        expect((await received).equals(sent)).toBe(true);
        expect(await closed).toMatchObject({ reason: 'ended', bytesIn: length, bytesOut: length, unsent: 0 });
      }),
      { numRuns: 20 },
    );
  });

  it('hands out chunks that never change, on two connections at once', async () => {
    const { port } = await listening((socket) => socket.pipe(socket));
    const texts = await Promise.all(
      ['a', 'b'].map(async (letter) => {
        const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }));
        const received = bytesOf(connection);
        for (let round = 0; round < 50; round++) await connection.write(letter.repeat(3000));
        connection.halfClose();
        return (await received).toString();
      }),
    );
    expect(texts).toEqual(['a'.repeat(150_000), 'b'.repeat(150_000)]);
  });

  it('reads nothing before the connection is subscribed to, and then all bytes that have arrived', async () => {
    const { port } = await listening((socket) => socket.end('early'));
    const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(connection.bytesIn).toBe(0);
    expect((await bytesOf(connection)).toString()).toBe('early');
  });

  it('connects to a host by its name, and has the addresses of both ends', async () => {
    const { port } = await listening((socket) => socket.pipe(socket));
    const connection = await firstValueFrom(connect({ port, host: 'localhost' }));
    expect(connection.peer).toEqual({ address: '127.0.0.1', port });
    expect(connection.local.port).toBeGreaterThan(0);
    const received = bytesOf(connection);
    connection.write('by name');
    connection.halfClose();
    expect((await received).toString()).toBe('by name');
  });

  it('connects to a unix socket', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const path = join(folder, 'socket');
    await listening((socket) => socket.pipe(socket), { path });
    const connection = await firstValueFrom(connect({ path }));
    expect(connection.peer).toEqual({ address: path, port: undefined });
    const received = bytesOf(connection);
    connection.write('by path');
    connection.halfClose();
    expect((await received).toString()).toBe('by path');
    await rm(folder, { recursive: true });
  });

  it('on a RST of the server the bytes error, and connect completes', async () => {
    const { port } = await listening((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const connected = connect({ port, host: '127.0.0.1' }).pipe(
      tap((connection) => void connection.write('x')),
      mergeMap(async (connection) => bytesOf(connection).catch((error: unknown) => error)),
    );
    expect(await lastValueFrom(connected)).toMatchObject({ reason: 'reset', cause: { code: 'ECONNRESET' } });
    expect(await lastValueFrom(connected)).toBeInstanceOf(ConnectionClosedError);
  });

  it('aborts with a RST', async () => {
    let resolveFault: (error: Error) => void = () => undefined;
    const fault = new Promise<Error>((resolve) => {
      resolveFault = resolve;
    });
    const { port } = await listening((socket) => socket.on('error', resolveFault).write('hello'));
    const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }));
    connection.subscribe({ next: () => connection.abort(), error: () => undefined });
    expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'aborted', bytesIn: 5 });
    expect(await fault).toMatchObject({ code: 'ECONNRESET' });
  });

  it('aborts with a RST after it has sent a FIN, while the server still sends', async () => {
    let resolveFault: (error: Error) => void = () => undefined;
    const fault = new Promise<Error>((resolve) => {
      resolveFault = resolve;
    });
    const { port } = await listening((socket) => {
      const send = () => {
        if (socket.destroyed) return;
        socket.write('hello');
        setImmediate(send);
      };
      socket.on('error', resolveFault).on('end', send).resume();
    });
    const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }));
    connection.subscribe({ next: () => connection.abort(), error: () => undefined });
    connection.halfClose();
    expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'aborted' });
    expect(await fault).toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) });
  });

  it('connects again when the server has started', async () => {
    // A path, because another process may take a port that is free now.
    const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const where = { path: join(folder, 's') };
    let attempts = 0;
    const greeting = firstValueFrom(
      connect(where).pipe(
        mergeMap((connection) => connection.pipe(lines())),
        retry({
          delay: () => {
            if (++attempts === 3) return from(listening((socket) => socket.end('here I am\n'), where));
            return timer(1);
          },
        }),
      ),
    );
    expect(await greeting).toBe('here I am');
    expect(attempts).toBe(3);
    await rm(folder, { recursive: true });
  });

  it.each<[Destination, string]>([
    [{ port: 1, host: '127.0.0.1' }, 'ECONNREFUSED'],
    [{ port: 1, host: 'localhost' }, 'ECONNREFUSED'],
    [{ path: '/nowhere/at/all' }, 'ENOENT'],
  ])("errors with Node's own error for %j", async (where, code) => {
    await expect(lastValueFrom(connect(where))).rejects.toMatchObject({ code });
  });
});

/** Listens with the shortest queue there is, and accepts no connection. When the queue is full, a connect is not answered. */
const NEVER_ACCEPTING = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    // Blocks its event loop until the spec notifies it.
    Atomics.wait(workerData, 0, 0);
    process.exit();
  });`;

it('cancels a connect that is not answered, after its timeout or when it is unsubscribed', async () => {
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(NEVER_ACCEPTING, { eval: true, workerData: wake });
  const [port] = await once(worker, 'message');
  const queued: Connection[] = [];
  try {
    const dial = connect({ port, host: '127.0.0.1' }, { timeout: 1000 });
    // The queue takes a few connections; the next connect is not answered.
    const failure = await (async () => {
      for (;;) {
        const outcome = await firstValueFrom(dial.pipe(tap(keep))).catch((error: unknown) => error);
        if (outcome instanceof Error) return outcome;
      }
    })();
    expect(failure).toBeInstanceOf(DeadlineError);
    expect(failure).toMatchObject({ deadline: 'connect', after: 1000 });
    expect(queued.length).toBeGreaterThan(0);
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
    const before = sockets();
    const subscription = dial.subscribe(keep);
    subscription.unsubscribe();
    await new Promise((resolve) => setImmediate(resolve));
    expect(sockets()).toBeLessThanOrEqual(before);
  } finally {
    for (const connection of queued) connection.abort();
    Atomics.store(wake, 0, 1);
    Atomics.notify(wake, 0);
    await once(worker, 'exit');
  }

  function keep(connection: Connection): void {
    queued.push(connection);
  }
});
