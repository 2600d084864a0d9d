import fc from 'fast-check';
import { finalize, ignoreElements, map, merge, NEVER, of, repeat, take, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { type Broadcast, broadcast, type MemberOptions } from '../../lib/flow/broadcast.ts';
import type { ServeOptions } from '../../lib/serve.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { connectionWith } from '../support/internals.ts';
import { TestServer } from '../support/testServer.ts';

/** A server whose connections are all in the room, and that replies nothing. */
async function openRoom(count: number, options: MemberOptions = {}, highWaterMark = 10, limits: ServeOptions = {}) {
  const room = broadcast();
  const connections: Connection[] = [];
  const server = await TestServer.open(
    (connection) => {
      connections.push(connection);
      return merge(connection.pipe(ignoreElements()), room.to(connection, options));
    },
    { highWaterMark, stall: 1000, idle: 100_000, greeting: 100_000, ...limits },
  );
  const clients: MemoryClient[] = [];
  for (let i = 0; i < count; i++) clients.push(await server.connect({ window: 4 }));
  return { room, server, clients, connections };
}

const send = async (room: Broadcast, server: TestServer, ...values: string[]) => {
  for (const value of values) {
    room.next(value);
    await server.clock.settle();
  }
};

/** An output that has room. */
const roomy = {
  congested: false,
  gathered: 0,
  limits: { maxOutbound: 1000, overrun: 'disconnect' },
  queue: { isCongested: false, unsent: 0 },
  whenRoom() {},
};

describe('a broadcast', () => {
  it('sends each value to all members in order, and to none that has left', async () => {
    const { room, server, clients } = await openRoom(3);
    await send(room, server, 'a', 'b');
    clients[1]?.break();
    await server.clock.settle();
    expect(room.size).toBe(2);
    await send(room, server, 'c');
    expect(clients.map(({ text }) => text)).toEqual(['abc', 'ab', 'abc']);
  });

  it('sends a value once to a member that joins again because of it, and not to one that leaves because of it', async () => {
    const room = broadcast();
    const received: string[] = [];
    const left: string[] = [];
    const connections: Connection[] = [];
    const server = await TestServer.open((connection) => {
      connections.push(connection);
      return connection;
    });
    const client = await server.connect();
    const [connection] = connections as [Connection];
    room
      .to(connection)
      .pipe(take(1), repeat(5))
      .subscribe((value) => {
        received.push(String(value));
        leaving.unsubscribe();
      });
    const leaving = room.to(connection).subscribe((value) => left.push(String(value)));
    await send(room, server, 'a', 'b');
    expect([received, left, room.size]).toEqual([['a', 'b'], [], 1]);
    client.end();
  });

  it('keeps the order when a value that has waited causes another one', async () => {
    const room = broadcast();
    const server = await TestServer.open(
      (connection) =>
        merge(
          connection.pipe(ignoreElements()),
          room.to(connection).pipe(tap((value) => String(value) === '<2>' && room.next('<again>'))),
        ),
      { highWaterMark: 10 },
    );
    const client = (await server.connect({ window: 4 })).pause();
    await send(room, server, '<0>', '<1234567890>', '<2>', '<3>', '<4>');
    client.resume();
    await server.clock.settle();
    expect(client.text).toBe('<0><1234567890><2><3><4><again>');
  });

  it('sends a value that another one causes after that one, to all members, and completes after both', async () => {
    const room = broadcast();
    const server = await TestServer.open(
      (connection) =>
        merge(connection.pipe(ignoreElements()), room.to(connection)).pipe(
          finalize(() => {
            if (connection.id !== 2) return;
            room.next('<2 has left>');
            room.complete();
          }),
        ),
      { maxOutbound: 20, highWaterMark: 5 },
    );
    const before = await server.connect();
    (await server.connect({ window: 4 })).pause();
    const behind = await server.connect();
    await send(room, server, '<1234567890>', '<1234567890>', '<too much>', '<too late>');
    expect([before.text, behind.text]).toEqual(Array(2).fill('<1234567890><1234567890><too much><2 has left>'));
    expect(room.size).toBe(0);
  });

  it.each([[null], [undefined], [5], [{}]])(
    'throws for the value %o, and its members receive later values',
    async (value) => {
      const { room, server, clients } = await openRoom(2);
      clients[1]?.pause();
      await send(room, server, '<1234567890>', 'a');
      expect(() => room.next(value as never)).toThrow(TypeError);
      clients[1]?.resume();
      await send(room, server, 'b');
      expect(clients.map(({ text }) => text)).toEqual(Array(2).fill('<1234567890>ab'));
    },
  );

  it('queues nothing for a member that leaves while a value is being sent', async () => {
    const room = broadcast();
    const budgeted: number[] = [];
    const member = (congested: boolean) =>
      connectionWith({
        draining: NEVER,
        output: { ...roomy, congested },
        usage: {},
        holdElsewhere: (bytes: number) => budgeted.push(bytes),
      });
    const connection = member(true);
    const first = member(false);
    room.to(first).subscribe(() => leaving.unsubscribe());
    const leaving = room.to(connection).subscribe();
    expect(room.size).toBe(2);
    room.next('a');
    expect(room.size).toBe(1);
    expect(budgeted).toEqual([]);
  });

  it('encodes a value once: all members receive the same bytes', async () => {
    const room = broadcast();
    const received: Uint8Array[] = [];
    const server = await TestServer.open((connection) => {
      room.to(connection).subscribe((value) => received.push(value));
      return connection;
    });
    await server.connectAll(3);
    room.next('é');
    expect(received.length).toBe(3);
    expect(new Set(received).size).toBe(1);
    expect(received[0]).toEqual(Buffer.from('é'));
    const own = Uint8Array.of(1, 2);
    room.next(own);
    expect(received.slice(3)).toEqual([own, own, own]);
    expect(received[3]).toBe(own);
  });

  it('is not delayed by a slow member, which receives all values later', async () => {
    const { room, server, clients, connections } = await openRoom(3);
    clients[1]?.pause();
    const values = Array.from({ length: 20 }, (_, i) => `<${i}>`);
    for (const [i, value] of values.entries()) {
      await send(room, server, value);
      // Each value arrives at once.
      for (const other of [0, 2]) expect(clients[other]?.text).toBe(values.slice(0, i + 1).join(''));
    }
    expect(clients[1]?.text).toBe('<0><');
    expect(connections[1]?.unsent).toBeGreaterThan(0);
    clients[1]?.resume();
    await server.clock.settle();
    expect(clients[1]?.text).toBe(values.join(''));
    expect(connections.map(({ dropped }) => dropped)).toEqual([0, 0, 0]);
  });

  it.each<[MemberOptions['overrun'], number]>([
    ['drop-oldest', 40],
    ['drop-newest', 40],
    ['drop-oldest', 3],
  ])(
    'drops whole values, and counts them, for a member with that policy: %s, %i bytes',
    async (overrun, maxOutbound) => {
      const { room, server, clients, connections } = await openRoom(2, {
        overrun: overrun as 'drop-oldest',
        maxOutbound,
      });
      clients[0]?.pause();
      const values = Array.from({ length: 100 }, (_, i) => `<${i}>`);
      await send(room, server, ...values);
      clients[0]?.resume();
      await server.clock.settle();
      await send(room, server, '<end>');
      expect(clients[1]?.text).toBe(`${values.join('')}<end>`);
      const came = [...(clients[0]?.text ?? '').matchAll(/<(\w+)>/g)].map(([value]) => value);
      // No value is split, doubled, or out of order.
      expect(came.join('')).toBe(clients[0]?.text);
      expect(came).toEqual(values.filter((value) => came.includes(value)).concat('<end>'));
      expect(connections[0]?.dropped).toBe(101 - came.length);
      expect(connections[0]?.dropped).toBeGreaterThan(50);
      expect(came.includes('<99>')).toBe(overrun === 'drop-oldest' && maxOutbound > 3);
    },
  );

  it.each<[MemberOptions['overrun'], string]>([
    ['drop-oldest', 'the last value'],
    ['drop-newest', 'the first ones'],
  ])('queues at most `maxOutbound` for a slow member, also below its high-water mark: %s', async (overrun, kept) => {
    const value = fc.nat({ max: 3000 });
    const bursts = fc.array(fc.array(value, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(bursts, async (bursts) => {
        const most = 16_000;
        const { room, server, clients } = await openRoom(
          1,
          { maxOutbound: most, overrun: overrun as 'drop-oldest' },
          65_536,
        );
        const [slow] = clients as [MemoryClient];
        slow.pause();
        let count = 0;
        for (const burst of bursts) {
          for (const length of burst) room.next(`<${count++}${'.'.repeat(length)}>`);
          await server.clock.settle();
        }
        const before = slow.text.length;
        slow.resume();
        await server.clock.settle();
        expect(slow.text.length - before).toBeLessThanOrEqual(most);
        const came = [...slow.text.matchAll(/<(\d+)\.*>/g)].map(([, number]) => Number(number));
        if (overrun === 'drop-oldest') expect(came.at(-1), kept).toBe(count - 1);
        else expect(came.slice(0, 4), kept).toEqual([0, 1, 2, 3].slice(0, count));
      }),
      { numRuns: 50 },
    );
  });

  it('disconnects a member when more than `maxOutbound` waits, even if its connection is below its high-water mark', async () => {
    const { room, server, clients } = await openRoom(1, { maxOutbound: 16_000 }, 65_536);
    clients[0]?.pause();
    await send(room, server, ...Array.from({ length: 16 }, () => 'x'.repeat(1000)));
    expect(server.log.closes).toEqual([]);
    await send(room, server, 'x'.repeat(1000));
    expect(server.log.of('closed')).toMatchObject([
      { reason: 'slow-consumer', error: { limit: 16_000, unsent: 16_996 } },
    ]);
  });

  it('disconnects a member that overruns as `slow-consumer`, and no other', async () => {
    const { room, server, clients } = await openRoom(2, { maxOutbound: 40 });
    clients[0]?.pause();
    await send(room, server, ...Array.from({ length: 100 }, (_, i) => `<${i}>`));
    expect(server.log.closes).toEqual(['slow-consumer']);
    expect(clients.map(({ reset }) => reset)).toEqual([true, false]);
    expect(room.size).toBe(1);
  });

  it('uses the limit and the policy of each connection where no other is given', async () => {
    const { room, server, clients, connections } = await openRoom(1, {}, 10, {
      maxOutbound: 40,
      overrun: 'drop-newest',
    });
    clients[0]?.pause();
    await send(room, server, ...Array.from({ length: 100 }, (_, i) => `<${i}>`));
    expect(server.log.closes).toEqual([]);
    expect(connections[0]?.dropped).toBeGreaterThan(50);
    clients[0]?.resume();
    await server.clock.settle();
    // It has received the first values, and no more than the limit and what the network took before.
    const { text = '' } = clients[0] ?? {};
    expect(Array.from({ length: 100 }, (_, i) => `<${i}>`).join('')).toMatch(new RegExp(`^${text}`));
    expect(text.length).toBeLessThan(80);
  });

  it('completes all members after what is queued for them has left, and each one that joins later', async () => {
    const { room, server, clients } = await openRoom(2);
    clients[0]?.pause();
    await send(room, server, ...Array.from({ length: 10 }, (_, i) => `<${i}>`));
    room.complete();
    room.next('late');
    for (const client of clients) client.end();
    await server.clock.settle();
    expect(clients.map(({ ended }) => ended)).toEqual([false, true]);
    clients[0]?.resume();
    const late = await server.connect();
    late.end();
    await server.clock.settle();
    expect(clients[0]?.text).toBe('<0><1><2><3><4><5><6><7><8><9>');
    expect([clients[0]?.ended, late.ended, late.text, room.size]).toEqual([true, true, '', 0]);
  });

  it('errors all members, and each one that joins later', async () => {
    const { room, server } = await openRoom(2);
    room.error(new Error('over'));
    room.error(new Error('again'));
    room.complete();
    await server.connect();
    await server.clock.settle();
    expect(server.log.of('failed').map(({ error }) => (error as Error).message)).toEqual(['over', 'over', 'over']);
  });

  it('completes a member in a drain after what is queued for it has left', async () => {
    const { room, server, clients } = await openRoom(2);
    clients[0]?.pause();
    await send(room, server, ...Array.from({ length: 10 }, (_, i) => `<${i}>`));
    await server.signal();
    room.next('late');
    clients[0]?.resume();
    for (const client of clients) client.end();
    await server.clock.settle();
    expect(clients.map(({ text }) => text)).toEqual(Array(2).fill('<0><1><2><3><4><5><6><7><8><9>'));
    expect(server.log.report).toMatchObject({ drained: 2, aborted: 0 });
  });

  it.each<[string, (room: Broadcast, server: TestServer) => void]>([
    ['the end', (room) => room.complete()],
    ['an error', (room) => room.error(new Error('no'))],
    ['a drain', (_room, server) => server.shutdown.next('SIGTERM')],
  ])('notifies all members of %s, whatever a teardown of one throws', async (_what, cause) => {
    const room = broadcast();
    const notified: number[] = [];
    const server = await TestServer.open((connection) => {
      const leave = () => {
        notified.push(connection.id);
        if (connection.id === 1) throw new Error('in a teardown');
      };
      const mine = room.to(connection).pipe(
        finalize(leave),
        map((value) => value),
      );
      return merge(mine, NEVER);
    });
    await server.connectAll(3);
    expect(() => cause(room, server)).not.toThrow();
    await server.clock.settle();
    expect([notified, room.size]).toEqual([[1, 2, 3], 0]);
    expect(server.log.of('failed').map(({ id }) => id)).toContain(1);
  });

  it('drops a member whose connection is closed, also where the handler neither sends nor unsubscribes', async () => {
    const room = broadcast();
    const ends: number[] = [];
    const server = await TestServer.open(async (connection) => {
      room.to(connection).subscribe({
        next: (value) => void connection.write(value),
        complete: () => ends.push(connection.id),
      });
      for await (const _ of connection);
    });
    const [reset, ended, stays] = await server.connectAll(3);
    await send(room, server, 'a');
    reset?.break();
    ended?.end();
    await server.clock.settle();
    expect([room.size, ends, stays?.text]).toEqual([1, [1, 2], 'a']);
  });

  it('is an Observer of any Observable', async () => {
    const { room, server, clients } = await openRoom(1);
    of('a', 'b').subscribe(room);
    clients[0]?.end();
    await server.clock.settle();
    expect([clients[0]?.text, clients[0]?.ended]).toEqual(['ab', true]);
  });

  it('takes processor time for a join and a leave that does not depend on the number of members', () => {
    const room = broadcast();
    const connection = connectionWith({ draining: NEVER, output: roomy, usage: {} });
    const time = (count: number) => {
      const begun = process.cpuUsage();
      const all = Array.from({ length: count }, () => room.to(connection).subscribe());
      expect(room.size).toBe(count);
      for (const one of all) one.unsubscribe();
      expect(room.size).toBe(0);
      const { user, system } = process.cpuUsage(begun);
      return (user + system) / 1000;
    };
    time(5000);
    const few = Math.min(time(5000), time(5000), time(5000));
    // Ten times as many take ten times as long; a hundred times, if each of them iterated over all members.
    expect(Math.min(time(50_000), time(50_000))).toBeLessThan(Math.max(50, few) * 50);
  });

  it.each([[5], [{}], [undefined]])(
    'throws for the value %o to the caller, and sends the next value to all members',
    async (value) => {
      const { room, server, clients } = await openRoom(2);
      expect(() => room.next(value as never)).toThrow(TypeError);
      await send(room, server, 'a');
      expect(clients.map(({ text }) => text)).toEqual(['a', 'a']);
    },
  );

  it.each([
    [{ maxOutbound: 0 }, RangeError],
    [{ overrun: 'wait' }, TypeError],
    [{ limit: 5 }, TypeError],
  ])('throws for the options %o on call', (options, fault) => {
    expect(() => broadcast().to({} as Connection, options as object)).toThrow(fault);
  });
});
