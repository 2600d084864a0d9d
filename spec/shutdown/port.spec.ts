import { NEVER } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { TestServer } from '../support/testServer.ts';

/**
 * When the port is closed, in milliseconds after the signal, while a client connects in every iteration of the event loop.
 *
 * @param iteration How long one takes.
 * @param most When no more clients connect.
 */
async function closedAfter(grace: number, iteration: number, most = 60_000): Promise<number> {
  const server = await TestServer.open(() => NEVER, {
    grace,
    idle: Number.POSITIVE_INFINITY,
    greeting: Number.POSITIVE_INFINITY,
  });
  const { clock, network } = server;
  const schedule = clock.schedule.bind(clock);
  clock.schedule = (work, delay = 0, state) => schedule(work, Math.max(delay, iteration), state);
  const began = clock.now();
  let closed: number | undefined;
  const watch = () => {
    if (!network.listening) closed = clock.now() - began;
    else {
      if (clock.now() - began < most) network.connect();
      schedule(watch, iteration);
    }
  };
  server.shutdown.next('SIGTERM');
  watch();
  await clock.advance(60_000);
  expect(server.log.completed).toBe(true);
  return closed ?? Number.NaN;
}

describe('the port, after a signal,', () => {
  it.each([
    [10_000, 1000],
    [300, 300],
  ])(
    'stays open while each iteration of the event loop accepts a connection: at a grace of %i ms for %i ms',
    async (grace, ms) => {
      const after = await closedAfter(grace, 5);
      expect(after).toBeGreaterThanOrEqual(ms);
      // The delay before it takes one iteration, and the spec looks once in each.
      expect(after).toBeLessThanOrEqual(ms + 10);
    },
  );

  it('is closed after the first iteration that accepts none', async () => {
    const after = await closedAfter(10_000, 5, 200);
    expect(after).toBeGreaterThanOrEqual(200);
    expect(after).toBeLessThanOrEqual(230);
  });

  it('counts at most 100 ms of an iteration, because the process did not run in a longer one', async () => {
    // Two iterations are waited for at a time: 200 ms each, of which 100 count.
    const after = await closedAfter(10_000, 100);
    expect(after).toBeGreaterThanOrEqual(2000);
    expect(after).toBeLessThanOrEqual(2300);
  });
});

describe('a drain', () => {
  it.each([
    ['of 500 connections asks all of them in one iteration of the event loop', 500, 1],
    ['of 3000 connections yields to other connections twice meanwhile', 3000, 3],
  ])('%s', async (_what, count, iterations) => {
    const seen: number[] = [];
    const server: TestServer = await TestServer.open(
      (connection) => {
        connection.draining.subscribe({ complete: () => seen.push(server.clock.now()) });
        return NEVER;
      },
      { concurrency: 3000, perAddress: { connections: 3000 } },
    );
    await server.connectAll(count);
    const { clock } = server;
    const schedule = clock.schedule.bind(clock);
    // Each iteration takes a millisecond, so that each has a time of its own.
    clock.schedule = (work, delay = 0, state) => schedule(work, Math.max(delay, 1), state);
    server.shutdown.next('SIGTERM');
    await clock.advance(100);
    expect(seen).toHaveLength(count);
    expect(new Set(seen).size).toBe(iterations);
  });
});
