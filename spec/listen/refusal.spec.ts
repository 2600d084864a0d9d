import { Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { type Client, client, clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const servers: Log[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

const echo: Handler = (connection) => connection;

/** A server with one slot, which is in use. */
async function busy(options: ServeOptions) {
  const shutdown = new Subject<void>();
  const where = { port: 0, host: '127.0.0.1' };
  const log = Log.follow(serve(where, echo, { concurrency: 1, shutdown, ...options }));
  servers.push(log);
  const port = await log.whenListening();
  await client(port).write('x').whenRead('x');
  return { log, port, shutdown };
}

/** 50 clients, each of which has sent a request that the server does not read. */
function asking(port: number): Client[] {
  const all = clients(50, port);
  for (const one of all) one.write('a request that is not read');
  return all;
}

const ends = (all: readonly Client[]) => all.map(({ ended, fault }) => [ended, fault]);
const finOnly = Array(50).fill([true, undefined]);

describe('a refused client receives a FIN and no RST, although it has sent a request', () => {
  it.each<[string, ServeOptions]>([
    ['full', { waiting: { max: 0 } }],
    ['timeout', { waiting: { timeout: 50 } }],
  ])('as %s', async (reason, options) => {
    const { log, port } = await busy(options);
    const all = asking(port);
    await Promise.all(all.map((one) => one.whenClosed()));
    expect(ends(all)).toEqual(finOnly);
    expect(log.refusals).toEqual(Array(50).fill(reason));
  });

  it('as draining: 50 of 50 that wait, before the server completes', async () => {
    const { log, port, shutdown } = await busy({});
    const all = asking(port);
    await log.whenAccepted(51);
    shutdown.next();
    await log.whenCompleted();
    await Promise.all(all.map((one) => one.whenClosed()));
    expect(ends(all)).toEqual(finOnly);
    expect(log.report).toMatchObject({ drained: 1, aborted: 0, refused: 50 });
  });
});

describe('a refused connection', () => {
  const full = async (options: ServeOptions = {}) => {
    const server = await TestServer.open(echo, { concurrency: 1, waiting: { max: 0 }, ...options });
    await server.connect();
    return server;
  };

  it('lingers for 100 ms: its input is discarded, and then it is closed', async () => {
    const server = await full();
    const late = server.network.connect({ allowHalfOpen: true }).write('a request');
    await server.clock.advance(99);
    expect([late.ended, late.reset, server.network.sockets.size]).toEqual([true, false, 2]);
    late.write('more');
    await server.clock.advance(1);
    expect([late.ended, late.reset, server.network.sockets.size]).toEqual([true, false, 1]);
    late.write('too late');
    await server.clock.settle();
    expect(late.reset).toBe(true);
  });

  it('is closed at once when 1000 linger already', async () => {
    const server = await full({ perAddress: { connections: 5000 } });
    for (let count = 0; count < 1200; count++) server.network.connect({ allowHalfOpen: true }).write('a request');
    await server.clock.settle();
    expect(server.log.counters).toMatchObject({ active: 1, refused: 1200 });
    expect(server.network.sockets.size).toBe(1001);
    await server.clock.advance(100);
    expect(server.network.sockets.size).toBe(1);
    const late = server.network.connect({ allowHalfOpen: true }).write('a request');
    await server.clock.settle();
    expect(late.reset).toBe(false);
  });

  it('delays the end of a drain by 100 ms at most, and leaves no socket open', async () => {
    const server = await TestServer.open(echo, { concurrency: 1 });
    const [first, ...waiting] = await server.connectAll(10);
    for (const one of waiting) one.write('a request');
    await server.clock.settle();
    const [stays, ...others] = waiting;
    await server.signal();
    for (const one of [first, ...others]) one?.end();
    await server.clock.settle();
    expect([server.log.completed, server.network.sockets.size]).toEqual([false, 1]);
    await server.clock.advance(100);
    expect([server.log.completed, server.network.sockets.size]).toEqual([true, 0]);
    expect([stays?.ended, stays?.reset]).toEqual([true, false]);
    expect(server.log.report).toMatchObject({ drained: 1, aborted: 0, refused: 9, duration: 100 });
  });

  it('does not delay the end of a drain after a second signal', async () => {
    const server = await TestServer.open(echo, { concurrency: 1 });
    await server.connectAll(10);
    await server.signal();
    await server.signal();
    expect([server.log.completed, server.network.sockets.size]).toEqual([true, 0]);
  });

  it('uses no slot: the next connection is served when one is free', async () => {
    const server = await TestServer.open(echo, { concurrency: 1, waiting: { timeout: 50 } });
    const [first] = await server.connectAll(2);
    await server.clock.advance(50);
    expect(server.log.refusals).toEqual(['timeout']);
    const next = server.network.connect({ allowHalfOpen: true }).write('next');
    await server.clock.settle();
    first?.end();
    await server.clock.settle();
    expect(next.text).toBe('next');
  });
});
