import { BehaviorSubject, NEVER } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { exchange, lines } from '../../lib/index.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { TestServer } from '../support/testServer.ts';

const echo: Handler = (connection) => connection;
const INFINITY = Number.POSITIVE_INFINITY;

/** A server, and clients that it serves. */
async function serving(options: ServeOptions, count = 1, handler = echo) {
  const server = await TestServer.open(handler, { idle: INFINITY, greeting: INFINITY, ...options });
  const clients = await server.connectAll(count);
  return { server, clients };
}

describe.each([
  ['idle', (idle: BehaviorSubject<number>) => ({ idle })],
  ['greeting', (greeting: BehaviorSubject<number>) => ({ greeting })],
] as const)('another value of %s', (name, options) => {
  it('holds for connections that are open: a lower one closes them earlier, and at once if they are late by it', async () => {
    const deadline = new BehaviorSubject(10_000);
    const { server } = await serving(options(deadline));
    await server.clock.advance(1000);
    deadline.next(1500);
    await server.clock.advance(499);
    expect(server.log.closes).toEqual([]);
    await server.clock.advance(2);
    expect(server.log.counters.active).toBe(1);
    deadline.next(10_000);
    await server.connect();
    await server.clock.advance(5100);
    expect(server.log.closes).toEqual([name]);
    deadline.next(100);
    await server.clock.advance(5001);
    expect(server.log.closes).toEqual([name, name]);
  });

  it('that is higher closes them later, and an infinite one never', async () => {
    const deadline = new BehaviorSubject(1000);
    const { server } = await serving(options(deadline));
    await server.clock.advance(999);
    deadline.next(2000);
    await server.clock.advance(1000);
    expect(server.log.closes).toEqual([]);
    deadline.next(INFINITY);
    await server.clock.advance(1_000_000);
    expect(server.log.counters.active).toBe(1);
    deadline.next(5000);
    await server.clock.advance(5001);
    expect(server.log.closes).toEqual([name]);
  });

  it('holds for each of many connections, also if it changes again at once', async () => {
    const deadline = new BehaviorSubject(100_000);
    const { server } = await serving(options(deadline), 300);
    for (const value of [50_000, 200_000, 1000]) deadline.next(value);
    await server.clock.advance(6001);
    expect(server.log.closes).toEqual(Array(300).fill(name));
  });
});

it('another value of `frame` holds for connections that are taken later', async () => {
  const frame = new BehaviorSubject(1000);
  const handler: Handler = exchange(lines(), (line) => `${line}\n`);
  const { server, clients } = await serving({ frame }, 1, handler);
  clients[0]?.write('half');
  frame.next(100);
  const [other] = await server.connectAll(1);
  other?.write('half');
  await server.clock.advance(101);
  expect([clients[0]?.ended, other?.ended]).toEqual([false, true]);
  await server.clock.advance(900);
  expect(clients[0]?.ended).toBe(true);
});

it('another value of `reply` holds for connections that are taken later', async () => {
  const reply = new BehaviorSubject(1000);
  const handler: Handler = exchange(lines(), () => NEVER);
  const { server, clients } = await serving({ reply }, 1, handler);
  clients[0]?.write('request\n');
  reply.next(100);
  const [other] = await server.connectAll(1);
  other?.write('request\n');
  await server.clock.advance(101);
  expect([clients[0]?.ended, other?.ended]).toEqual([false, true]);
  await server.clock.advance(900);
  expect(clients[0]?.ended).toBe(true);
});

it('deadlines that change while the server is unsubscribed arm nothing', async () => {
  const idle = new BehaviorSubject(1000);
  const { server } = await serving({ idle }, 10);
  idle.next(500);
  server.log.subscription?.unsubscribe();
  await server.clock.settle();
  expect([server.clock.actions, idle.observed, server.network.sockets.size]).toEqual([[], false, 0]);
});
