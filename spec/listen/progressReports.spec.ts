import fc from 'fast-check';
import { map, NEVER } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection, ServeOptions } from '../../lib/index.ts';
import { TestServer } from '../support/testServer.ts';

const echo = (connection: Connection) => connection.pipe(lines(), map(encodeLine));
const long = { idle: Number.POSITIVE_INFINITY, greeting: Number.POSITIVE_INFINITY, stall: 1e9 };

describe('progress', () => {
  it('has the figures of a connection, and what is new, each time it has lasted for the interval', async () => {
    const server = await TestServer.open(echo, { ...long, report: 100 });
    const client = await server.connect();
    client.write('hello\n');
    await server.clock.advance(99);
    expect(server.log.of('progress')).toEqual([]);
    await server.clock.advance(1);
    const { peer } = server.log.of('opened')[0] ?? {};
    const first = { type: 'progress', id: 1, peer, bytesIn: 6, bytesOut: 6, unsent: 0, duration: 100 };
    expect(server.log.of('progress')).toEqual([{ ...first, change: { bytesIn: 6, bytesOut: 6, duration: 100 } }]);
    client.write('again and again\n');
    await server.clock.advance(100);
    await server.clock.advance(100);
    expect(server.log.of('progress').slice(1)).toMatchObject([
      { bytesIn: 22, bytesOut: 22, duration: 200, change: { bytesIn: 16, bytesOut: 16, duration: 100 } },
      { bytesIn: 22, bytesOut: 22, duration: 300, change: { bytesIn: 0, bytesOut: 0, duration: 100 } },
    ]);
    client.end();
    await server.clock.advance(1000);
    expect(server.log.of('progress')).toHaveLength(3);
    expect(server.clock.actions).toEqual([]);
  });

  it('is not reported by default, nor of a connection that is shorter', async () => {
    for (const options of [{}, { report: 1000 }]) {
      const server = await TestServer.open(echo, { ...long, ...options });
      const client = await server.connect();
      await server.clock.advance(999);
      client.end();
      await server.clock.advance(5000);
      expect(server.log.types).toEqual(['listening', 'opened', 'closed']);
    }
  });

  it('needs one timer for all connections, and none without one', async () => {
    const server = await TestServer.open(() => NEVER, { ...long, report: 1000 });
    expect(server.clock.actions).toEqual([]);
    const all = await server.connectAll(100);
    expect(server.clock.actions).toHaveLength(1);
    for (const client of all) client.break();
    await server.clock.advance(1000);
    expect(server.clock.actions).toEqual([]);
    expect(server.log.of('progress')).toEqual([]);
  });

  it('is spread over several steps, and stays so', async () => {
    const server = new TestServer(() => NEVER, {
      ...long,
      report: 10_000,
      concurrency: 1000,
      perAddress: { connections: 1000 },
    });
    server.clock.jump(0);
    for (let i = 0; i < 1000; i++) server.network.connect();
    server.clock.jump(9999);
    const counts: number[] = [];
    for (let step = 0; step < 17; step++) {
      server.clock.jump(step === 0 ? 1 : 10);
      counts.push(server.log.of('progress').length);
    }
    expect(counts.slice(0, 3)).toEqual([64, 128, 192]);
    expect(counts.at(-1)).toBe(1000);
    server.clock.jump(10_000 - 160);
    expect(server.log.of('progress')).toHaveLength(1064);
  });

  it('keeps up where more connections are open than fit into the least steps', () => {
    const server = new TestServer(() => NEVER, {
      ...long,
      report: 20,
      concurrency: 1000,
      perAddress: { connections: 1000 },
    });
    server.clock.jump(0);
    for (let i = 0; i < 1000; i++) server.network.connect();
    server.clock.jump(20);
    server.clock.jump(20 * 10);
    expect(server.log.of('progress').length).toBeGreaterThanOrEqual(1000 * 9);
  });

  it('comes for each connection at its interval, for any times at which they open and close', async () => {
    const times = fc.record({ opens: fc.nat(300), lasts: fc.nat(1000) });
    await fc.assert(
      fc.asyncProperty(fc.array(times, { maxLength: 20 }), fc.integer({ min: 1, max: 200 }), async (plan, report) => {
        const server = await TestServer.open(() => NEVER, { ...long, report });
        for (const { opens, lasts } of plan) {
          server.clock.schedule(() => {
            const client = server.network.connect();
            server.clock.schedule(() => client.break(), lasts + 0.5);
          }, opens);
        }
        await server.clock.advance(1700);
        const durations = new Map(server.log.of('opened').map(({ id }) => [id, [] as number[]]));
        for (const { id, duration } of server.log.of('progress')) durations.get(id)?.push(duration);
        for (const { id, duration } of server.log.of('closed')) {
          const count = Math.floor((duration - 1) / report);
          const expected = Array.from({ length: count }, (_, index) => (index + 1) * report);
          expect(durations.get(id)?.slice(0, count)).toEqual(expected);
        }
        expect(server.clock.actions).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  it.each<[string, ServeOptions, (server: TestServer) => void]>([
    ['aborts all connections', {}, (server) => server.log.of('listening')[0]?.connections.abort(() => true)],
    ['unsubscribes the server', {}, (server) => server.log.subscription?.unsubscribe()],
    ['begins and ends the drain', {}, (server) => [1, 2].forEach(() => void server.shutdown.next(0))],
  ])('may be observed by what %s', async (_what, options, act) => {
    const server = await TestServer.open(() => NEVER, { ...long, ...options, report: 100 });
    await server.connectAll(3);
    const { next } = server.log;
    let count = 0;
    Object.assign(server.log, {
      next: (event: Parameters<typeof next>[0]) => {
        next(event);
        if (event.type !== 'progress') return;
        count++;
        act(server);
      },
    });
    await server.clock.advance(100);
    await server.clock.advance(1000);
    expect(count).toBeGreaterThan(0);
    expect(server.clock.actions).toEqual([]);
    expect(server.network.sockets.size).toBe(0);
  });
});
