import fc from 'fast-check';
import { from, Observable, timer } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Credit, unseen } from '../../lib/connection/pace.ts';
import { PauseCause } from '../../lib/connection/pauses.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import type { MemoryClient, MemoryClientOptions } from '../../lib/testing/index.ts';
import { clockOf } from '../support/internals.ts';
import { noteEnd, run } from '../support/peers.ts';
import { TestServer } from '../support/testServer.ts';

const endless = Number.POSITIVE_INFINITY;
const MINUTE = 60_000;

describe('the credit of a peer', () => {
  const GRACE = 10_000;
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 9000 }), fc.double({ min: 1, max: 1e6, noNaN: true })), {
    minLength: 1,
    maxLength: 200,
  });

  it('never runs out for a peer that keeps the rate', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 1_000_000 }), (steps, rate) => {
        const credit = new Credit(rate, GRACE);
        let now = 0;
        credit.begin(now);
        for (const [time, more] of steps) {
          now += time;
          expect(credit.until).toBeGreaterThan(now);
          credit.earn(now, (rate * time) / 1000 + more);
        }
      }),
    );
  });

  it('runs out in bounded time for a peer at half the rate, however much it took before', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e15, noNaN: true }), fc.integer({ min: 1, max: 9000 }), (before, time) => {
        const credit = new Credit(240, GRACE);
        credit.begin(0);
        credit.earn(0, before);
        let now = 0;
        for (; now < credit.until && now < 60 * MINUTE; now += time) credit.earn(now, (120 * time) / 1000);
        expect(now).toBeLessThan(2 * (GRACE + 10 * MINUTE) + 2 * time);
      }),
    );
  });

  it('never runs out with a minimum of 0', () => {
    const credit = new Credit(0, GRACE);
    credit.begin(0);
    credit.earn(5, 100);
    credit.forgive(6, 1000);
    expect(credit.until).toBe(endless);
    expect(unseen(1_000_000, 0, 1 / 3)).toBe(0);
  });

  it('does not decrease by time in which the process did not run', () => {
    const credit = new Credit(240, GRACE);
    credit.begin(0);
    credit.forgive(60_000, 50_000);
    expect(credit.until).toBe(70_000);
  });
});

/** A server whose handler answers the first line with so many bytes, and a client behind a kernel's buffers. */
async function reply(bytes: number, client: MemoryClientOptions = {}, options: ServeOptions = {}) {
  const server = await TestServer.open(
    exchange(lines(), () => 'x'.repeat(bytes)),
    { maxOutbound: endless, ...options },
  );
  const reader = server.network.connect(client).pause().write('give\n');
  await server.clock.settle();
  const closed = () =>
    server.log.of('closed').map(({ reason, deadline, duration }) => [reason, deadline, Math.round(duration / 1000)]);
  return { server, reader, closed };
}

/** Reads at a rate until so many bytes have left the network in all, the time is over, or the connection is closed. */
async function readAt(
  rate: number,
  { server, reader }: { readonly server: TestServer; readonly reader: MemoryClient },
  { whole = endless, time = endless, every = 1000 },
): Promise<void> {
  const until = server.clock.now() + time;
  while (reader.taken < whole && server.clock.now() < until && server.log.of('closed').length === 0) {
    await server.clock.advance(every);
    reader.readBytes((rate * every) / 1000);
  }
}

/** What Linux buffers between two ends on the loopback, and for a modem. */
const LOOPBACK = { window: 4_250_000, step: 1 / 3 };
const MODEM = { window: 30_000, step: 1 / 3 };

describe('a peer that takes output', () => {
  it.each([
    ['5 KB/s on the loopback', 5000, LOOPBACK, 24_000_000],
    ['20 KB/s on the loopback', 20_000, LOOPBACK, 24_000_000],
    ['100 KB/s on the loopback', 100_000, LOOPBACK, 24_000_000],
    ['300 bytes a second on a modem', 300, MODEM, 300_000],
  ])('at %s receives all of it', async (_how, rate, network, bytes) => {
    const talk = await reply(bytes, network);
    await readAt(rate, talk, { whole: bytes });
    expect(talk.closed()).toEqual([]);
    expect(talk.reader.taken).toBe(bytes);
  });

  it('byte by byte is closed for its pace, in bounded time', async () => {
    const talk = await reply(512 * 1024);
    await readAt(1 / 9, talk, { time: MINUTE, every: 9000 });
    expect(talk.closed()).toEqual([['deadline', 'pace', 10]]);
  });

  it('byte by byte, while the kernel reports no room, is closed within six minutes', async () => {
    const talk = await reply(6_000_000, LOOPBACK);
    await readAt(1 / 9, talk, { time: 11 * MINUTE, every: 9000 });
    expect(talk.closed()).toEqual([['slow-consumer', 'stall', 360]]);
  });

  it('a little too slowly is closed when its credit is used up', async () => {
    const talk = await reply(512 * 1024);
    await readAt(120, talk, { whole: 512 * 1024, every: 100 });
    expect(talk.closed()).toEqual([['deadline', 'pace', 20]]);
  });

  it('quickly, and then byte by byte, is closed in bounded time', async () => {
    const talk = await reply(2_000_000);
    await readAt(50_000, talk, { whole: 1_000_000 });
    const begun = talk.server.clock.now();
    await readAt(1 / 9, talk, { time: 30 * MINUTE, every: 9000 });
    expect(talk.closed()).toMatchObject([['deadline', 'pace', expect.any(Number)]]);
    expect(talk.server.clock.now() - begun).toBeLessThan(11 * MINUTE);
  });

  it('not at all is closed after `stall`, or after the time in which it could read what the network holds', async () => {
    for (const [network, after] of [
      [{}, 10],
      [MODEM, 42],
      [LOOPBACK, 360],
    ] as const) {
      const { server, closed } = await reply(6_000_000, network);
      await server.clock.advance(after * 1000);
      expect(closed()).toEqual([['slow-consumer', 'stall', after]]);
    }
  });

  it('not at all is closed after `stall` alone if `stall` is given and `pace.out` is not', async () => {
    const { server, closed } = await reply(24_000_000, LOOPBACK, { stall: 2000 });
    await server.clock.advance(2000);
    expect(closed()).toEqual([['slow-consumer', 'stall', 2]]);
  });

  it('byte by byte stays connected with a minimum of 0, or with an infinite `stall` or `pace.grace`', async () => {
    for (const options of [{ pace: { out: 0 } }, { pace: { grace: endless } }, { stall: endless }]) {
      const talk = await reply(512 * 1024, {}, { idle: endless, ...options });
      await readAt(1 / 9, talk, { time: 30 * MINUTE, every: 9000 });
      expect(talk.closed()).toEqual([]);
    }
  });

  it('byte by byte is closed as well after the handler has completed, or has half-closed', async () => {
    for (const end of ['end', 'halfClose'] as const) {
      const handler: Handler = (connection) =>
        new Observable<string>((to) => {
          to.next('x'.repeat(512 * 1024));
          timer(1, clockOf(connection)).subscribe(() => connection[end]());
        });
      const server = await TestServer.open(handler, { greeting: endless });
      const reader = server.network.connect().pause();
      await readAt(1 / 9, { server, reader }, { time: MINUTE, every: 9000 });
      expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'pace' }]);
    }
  });

  it('is not closed for its pace before `stall` has passed', async () => {
    const talk = await reply(512 * 1024, {}, { stall: 50_000, pace: { out: 240 } });
    await readAt(1 / 9, talk, { time: 2 * MINUTE, every: 9000 });
    expect(talk.closed()).toEqual([['deadline', 'pace', 50]]);
  });

  it('is credited the time in which the process did not run', () => {
    const { notes } = run({ window: 10, pace: { in: 0, out: 240, grace: 100 }, stall: 90 }, (all) => {
      const { connection, client, at, note } = all;
      client.pause();
      from(['x'.repeat(1000)])
        .pipe(connection.send())
        .subscribe(noteEnd(note));
      for (let ms = 50; ms < 1000; ms += 50) at(ms, () => client.readBytes(1));
      at(70, () => connection.watchdog.forgive(500));
    });
    expect(notes.map((line) => String(line).split(' ')[1])).toEqual(['complete', 'deadline']);
    expect(Number.parseFloat(String(notes[0]))).toBeGreaterThan(600);
  });
});

describe('a peer that sends a frame', () => {
  const frame = async (options: ServeOptions = {}) => {
    const server = await TestServer.open(
      exchange(lines(), () => 'thanks\n'),
      { frame: endless, idle: endless, ...options },
    );
    const client = await server.connect();
    const closed = () =>
      server.log.of('closed').map(({ reason, deadline, duration }) => [reason, deadline, Math.floor(duration / 1000)]);
    const send = async (bytes: number, every: number, until: number) => {
      while (server.clock.now() < until && !client.over) {
        client.write('x'.repeat(bytes));
        await server.clock.advance(every);
      }
      client.end();
      await server.clock.settle();
    };
    return { server, client, closed, send };
  };

  it('byte by byte is closed for its pace, however long a frame may take', async () => {
    const { closed, send } = await frame();
    await send(1, 1000, MINUTE);
    expect(closed()).toEqual([['deadline', 'pace', 11]]);
  });

  it('at the rate is not closed for its pace', async () => {
    const { server, client, send } = await frame();
    client.write('x');
    await send(120, 500, MINUTE);
    expect(server.log.of('closed')).toMatchObject([{ reason: 'frame-truncated' }]);
  });

  it('byte by byte stays connected with a minimum of 0', async () => {
    const { server, send } = await frame({ pace: { in: 0 } });
    await send(1, 1000, MINUTE);
    expect(server.log.of('closed')).toMatchObject([{ reason: 'frame-truncated' }]);
  });

  it('is closed by the frame deadline if that is due no later', async () => {
    const { closed, send } = await frame({ frame: 10_000 });
    await send(1, 1000, MINUTE);
    expect(closed()).toEqual([['deadline', 'frame', 10]]);
  });

  it('may be silent between two frames', async () => {
    const { server, client } = await frame();
    client.write('a\n');
    await server.clock.advance(10 * MINUTE);
    client.write('b\n');
    await server.clock.settle();
    expect(client.text).toBe('thanks\nthanks\n');
  });

  it('loses no credit while its input is paused on our side', () => {
    const { notes } = run({ pace: { in: 240, out: 0, grace: 50 } }, ({ connection, client, at, note }) => {
      client.write('half');
      connection.pipe(lines()).subscribe(noteEnd(note));
      at(10, () => connection.control.pause(PauseCause.handler));
      at(500, () => connection.control.resume(PauseCause.handler));
    });
    expect(notes[0]).toBe('540 Cannot wait longer: the pace deadline of 50 ms is over');
  });
});

describe('the options of the pace', () => {
  it.each([
    [{ out: -1 }, RangeError],
    [{ in: Number.NaN }, RangeError],
    [{ in: endless }, RangeError],
    [{ grace: 0 }, RangeError],
    [{ out: '240' }, TypeError],
    [{ up: 1 }, TypeError],
    [false, TypeError],
  ])('reject %o', (pace, kind) => {
    expect(() => serve({ port: 0 }, () => [], { pace: pace as never })).toThrow(kind);
  });

  it('keep their defaults where only some are given', async () => {
    const talk = await reply(512 * 1024, {}, { pace: { in: 1 } });
    await readAt(1 / 9, talk, { time: MINUTE, every: 9000 });
    expect(talk.closed()).toEqual([['deadline', 'pace', 10]]);
  });
});
