import { Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { type Client, client, clients, closeClients } from '../support/client.ts';
import { House } from '../support/house.ts';
import { Log } from '../support/log.ts';

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
    const house = await House.open(echo, { concurrency: 1, waiting: { max: 0 }, ...options });
    await house.connect();
    return house;
  };

  it('lingers for 100 ms: its input is discarded, and then it is closed', async () => {
    const house = await full();
    const late = house.network.connect({ allowHalfOpen: true }).write('a request');
    await house.clock.advance(99);
    expect([late.ended, late.reset, house.network.sockets.size]).toEqual([true, false, 2]);
    late.write('more');
    await house.clock.advance(1);
    expect([late.ended, late.reset, house.network.sockets.size]).toEqual([true, false, 1]);
    late.write('too late');
    await house.clock.settle();
    expect(late.reset).toBe(true);
  });

  it('is closed at once when 1000 linger already', async () => {
    const house = await full();
    for (let count = 0; count < 1200; count++) house.network.connect({ allowHalfOpen: true }).write('a request');
    await house.clock.settle();
    expect(house.log.counters).toMatchObject({ active: 1, refused: 1200 });
    expect(house.network.sockets.size).toBe(1001);
    await house.clock.advance(100);
    expect(house.network.sockets.size).toBe(1);
    const late = house.network.connect({ allowHalfOpen: true }).write('a request');
    await house.clock.settle();
    expect(late.reset).toBe(false);
  });

  it('delays the end of a drain by 100 ms at most, and leaves no socket open', async () => {
    const house = await House.open(echo, { concurrency: 1 });
    const [first, ...waiting] = await house.connectAll(10);
    for (const one of waiting) one.write('a request');
    await house.clock.settle();
    const [stays, ...others] = waiting;
    await house.signal();
    for (const one of [first, ...others]) one?.end();
    await house.clock.settle();
    expect([house.log.completed, house.network.sockets.size]).toEqual([false, 1]);
    await house.clock.advance(100);
    expect([house.log.completed, house.network.sockets.size]).toEqual([true, 0]);
    expect([stays?.ended, stays?.reset]).toEqual([true, false]);
    expect(house.log.report).toMatchObject({ drained: 1, aborted: 0, refused: 9, duration: 100 });
  });

  it('does not delay the end of a drain after a second signal', async () => {
    const house = await House.open(echo, { concurrency: 1 });
    await house.connectAll(10);
    await house.signal();
    await house.signal();
    expect([house.log.completed, house.network.sockets.size]).toEqual([true, 0]);
  });

  it('uses no slot: the next connection is served when one is free', async () => {
    const house = await House.open(echo, { concurrency: 1, waiting: { timeout: 50 } });
    const [first] = await house.connectAll(2);
    await house.clock.advance(50);
    expect(house.log.refusals).toEqual(['timeout']);
    const next = house.network.connect({ allowHalfOpen: true }).write('next');
    await house.clock.settle();
    first?.end();
    await house.clock.settle();
    expect(next.text).toBe('next');
  });
});
