import { execFileSync } from 'node:child_process';
import { Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { accepting } from '../support/accepting.ts';
import { client, clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const BUSY = 10;
const CLOSED = 3000;
/** Longer than a slow machine takes. A drain that lasts this long has failed. */
const GRACE = 120_000;

const servers: Log[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

const echo: Handler = (connection) => connection;

/** All clients have one address. */
const perAddress = { connections: Number.POSITIVE_INFINITY };

/** A server with one slot, which is in use, and a waiting room for `max` connections. */
async function taken(max: number) {
  const served: number[] = [];
  const handler: Handler = (connection) => {
    served.push(connection.id);
    return connection;
  };
  const options: ServeOptions = { concurrency: 1, waiting: { max, timeout: 60_000 }, perAddress };
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, options));
  servers.push(log);
  const port = await log.whenListening();
  const first = await client(port).write('x').whenRead('x');
  return { log, port, first, served };
}

it('refuses connections as `gone` that are reset while they wait: no handler runs, and there is room for more', async () => {
  const { log, port, first, served } = await taken(200);
  const dead = clients(200, port);
  await Promise.all(dead.map((one) => one.whenConnected()));
  await log.whenAccepted(201);
  expect(log.counters).toMatchObject({ waiting: 200, active: 1 });
  for (const one of dead) one.reset();
  // The slot stays in use. One of the reset connections was handed out, and is in the buffer of mergeMap.
  await log.whenEmitted('refused', 200);
  expect(new Set(log.refusals)).toEqual(new Set(['gone']));
  expect(log.counters).toMatchObject({ waiting: 0, active: 1 });
  const fresh = clients(20, port);
  for (const one of fresh) one.write('fresh').end();
  await log.whenAccepted(221);
  first.end();
  await Promise.all(fresh.map((one) => one.whenClosed()));
  expect(fresh.map(({ text }) => text)).toEqual(Array(20).fill('fresh'));
  expect(served).toHaveLength(21);
  expect(log.refusals).toHaveLength(200);
});

it('serves connections whose peers sent a request and a FIN while they waited', async () => {
  const { log, port, first } = await taken(20);
  const waiting = clients(20, port);
  for (const one of waiting) one.write('request').end();
  await log.whenAccepted(21);
  // Longer than the interval in which waiting connections are polled.
  await new Promise((resolve) => setTimeout(resolve, 60));
  first.end();
  await Promise.all(waiting.map((one) => one.whenClosed()));
  expect(waiting.map(({ text, fault }) => [text, fault])).toEqual(Array(20).fill(['request', undefined]));
  expect(log.refusals).toEqual([]);
});

/** Connects from another process and sends a RST, which works while this process is busy. */
const connectAndReset = (count: number, port: number) =>
  execFileSync(process.execPath, [
    '-e',
    `for (let i = 0; i < ${count}; i++) {
       const socket = require('net').connect(${port}, '127.0.0.1', () => socket.resetAndDestroy());
     }`,
  ]);

// Other kernels do not hand such connections to the process.
it.runIf(process.platform === 'linux').each([
  ['nodeTransport', nodeTransport],
  ['netTransport', netTransport],
])(
  'refuses connections as `gone` that were reset before they were accepted: they take no token: %s',
  async (_name, transport) => {
    const opened: number[] = [];
    const handler: Handler = (connection) => {
      opened.push(connection.id);
      return connection;
    };
    const accepts = { perSecond: 0, burst: 1 };
    const where = { port: 0, host: '127.0.0.1' };
    const log = Log.follow(serve(where, handler, { transport, accepts, farewell: 'bye' }));
    servers.push(log);
    const port = await log.whenListening();
    connectAndReset(5, port);
    await log.whenEmitted('refused', 5);
    expect(log.of('refused').map(({ reason, peer, waited }) => [reason, peer.port, waited])).toEqual(
      Array(5).fill(['gone', undefined, 0]),
    );
    await client(port).write('x').whenRead('x');
    expect([opened, log.refusals.length]).toEqual([[6], 5]);
  },
);

describe('in memory', () => {
  /** A network whose sockets report whether their peer has reset the connection, as those of the system do. */
  const withResets = (dead: ReadonlySet<number>) => (network: Transport) => {
    let accepted = 0;
    return accepting(network, (socket, accept) => {
      const id = ++accepted;
      Object.defineProperty(socket, 'alive', { get: () => !dead.has(id) });
      accept(socket);
    });
  };

  it('polls a connection before it is handed out: no handler runs for 2000 reset ones, and the next is served', async () => {
    const dead = new Set<number>();
    const served: number[] = [];
    const handler: Handler = (connection) => {
      served.push(connection.id);
      return connection;
    };
    const options = { concurrency: 1, waiting: { max: 5000, timeout: 60_000 }, perAddress };
    const server = await TestServer.open(handler, options, withResets(dead));
    const [first] = await server.connectAll(1);
    await server.connectAll(2000);
    const fresh = server.network.connect().write('fresh');
    await server.clock.settle();
    for (let id = 2; id <= 2001; id++) dead.add(id);
    first?.end();
    await server.clock.settle();
    expect(fresh.text).toBe('fresh');
    expect(served).toEqual([1, 2002]);
    expect(server.log.refusals).toEqual(Array(2000).fill('gone'));
    expect(server.log.counters).toEqual({ accepted: 2002, waiting: 0, active: 1, closed: 1, refused: 2000 });
  });

  it('counts connections as refused in the report that are found reset during the drain', async () => {
    const dead = new Set<number>();
    const server = await TestServer.open(
      echo,
      { concurrency: 1, waiting: { max: 5000, timeout: 60_000 }, perAddress },
      withResets(dead),
    );
    const [first] = await server.connectAll(1);
    await server.connectAll(2000);
    for (let id = 2; id <= 2001; id++) dead.add(id);
    server.shutdown.next('SIGTERM');
    first?.end();
    await server.clock.advance(200);
    expect(server.log.report).toMatchObject({ drained: 1, aborted: 0, refused: 2000 });
    expect(server.network.sockets.size).toBe(0);
  });
});

/** 10 connections are served, and 3000 wait whose clients have left: half of them with a FIN, half with a RST. */
async function crowded() {
  const shutdown = new Subject<void>();
  const options: ServeOptions = {
    concurrency: BUSY,
    waiting: { max: CLOSED + 100, timeout: 600_000 },
    perAddress,
    shutdown,
    grace: GRACE,
  };
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, echo, options));
  servers.push(log);
  const port = await log.whenListening();
  const busy = clients(BUSY, port);
  for (const one of busy) await one.write('x').whenRead('x');
  // In portions that fit into the kernel's queue, because its length is not tested here.
  for (let left = CLOSED; left > 0; left -= 500) {
    const portion = clients(Math.min(left, 500), port);
    await Promise.all(portion.map((one) => one.whenConnected()));
    for (const [index, one] of portion.entries()) one[index % 2 === 0 ? 'end' : 'reset']().socket.destroy();
    await Promise.all(portion.map((one) => one.whenClosed()));
  }
  await log.whenAccepted(BUSY + CLOSED);
  return { log, port, busy, shutdown };
}

// ReactiveX/rxjs#7334: with mergeMap alone, and 800 such connections in its buffer, 0 of the 20 clients are served.
it('serves 20 of 20 new clients when a slot is free, though 3000 closed connections wait before them', async () => {
  const { log, port, busy } = await crowded();
  busy[0]?.end();
  const fresh = clients(20, port);
  for (const one of fresh) one.write('fresh').end();
  await Promise.all(fresh.map((one) => one.whenClosed()));
  expect(fresh.filter(({ text, fault }) => text === 'fresh' && fault === undefined)).toHaveLength(20);
  expect(log.counters).toMatchObject({ accepted: BUSY + CLOSED + 20, waiting: 0, active: BUSY - 1 });
  expect(log.refusals.filter((reason) => reason !== 'gone')).toEqual([]);
});

it('drains 3000 closed connections that wait in fewer iterations of the event loop than that', async () => {
  const { log, shutdown } = await crowded();
  const { waiting } = log.counters;
  let iterations = 0;
  shutdown.next();
  for (; !log.completed; iterations++) await new Promise((resolve) => setImmediate(resolve));
  expect(log.report).toMatchObject({ drained: BUSY, aborted: 0, refused: waiting });
  expect(log.report.duration).toBeLessThan(GRACE);
  expect(log.counters.refused).toBe(CLOSED);
  expect(log.of('opened')).toHaveLength(BUSY);
  expect(iterations).toBeLessThan(CLOSED);
});
