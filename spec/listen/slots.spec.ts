import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { DescriptorShortage } from '../../lib/listen/descriptorShortage.ts';
import { listen } from '../../lib/listen/listen.ts';
import { WaitingRoom } from '../../lib/listen/waitingRoom.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { accepting } from '../support/accepting.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** A port in memory whose operator takes none of the connections that it is handed, as `mergeMap` at its limit. */
async function untaken(clients: number) {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const log = new Log();
  const handed: Connection[] = [];
  /** Connections that their peers have reset. */
  const dead = new Set<number>();
  let accepted = 0;
  const transport = accepting(network.transport, (socket, accept) => {
    const id = ++accepted;
    Object.defineProperties(socket, { needsPolling: { value: true }, alive: { get: () => !dead.has(id) } });
    accept(socket);
  });
  listen({ port: 0 }, { transport, scheduler: clock, events: log }).subscribe((one) => handed.push(one));
  await clock.settle();
  for (let count = 0; count < clients; count++) network.connect();
  await clock.settle();
  return { clock, network, log, dead, handed: () => handed.map(({ id }) => id), take: () => handed[0]?.subscribe() };
}

describe('a slot of the waiting room', () => {
  it('is kept by a connection that is reset after it was handed out, until the operator subscribes to it', async () => {
    // The liveness poller has a real timer.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { clock, log, dead, handed, take } = await untaken(2);
    dead.add(1);
    vi.advanceTimersByTime(25);
    await clock.settle();
    expect([log.refusals, handed()]).toEqual([['gone'], [1]]);
    take();
    await clock.settle();
    expect(handed()).toEqual([1, 2]);
  });

  it('is not given to a connection that is found reset, which is never handed to the operator', async () => {
    const { clock, network, log, dead, handed, take } = await untaken(3);
    dead.add(2);
    take();
    await clock.settle();
    expect([log.refusals, handed()]).toEqual([['gone'], [1, 3]]);
    // It does not linger either, because its peer reads nothing.
    expect(network.sockets.size).toBe(2);
  });

  it('is not given to a connection that arrives while another one is handed out', () => {
    const clock = new Clock();
    const handed: string[] = [];
    const room: WaitingRoom<string> = new WaitingRoom<string>(
      { max: 10, timeout: 100, ahead: 1, clock },
      {
        hand: (item) => {
          handed.push(item);
          if (item === 'a') room.arrive('b');
        },
        refuse: () => {
          throw new Error('none is refused here');
        },
      },
    );
    room.arrive('a');
    expect([handed, room.size]).toEqual([['a'], 2]);
    room.taken('a');
    clock.jump(0);
    expect([handed, room.size]).toEqual([['a', 'b'], 1]);
  });
});

describe('a shortage of descriptors', () => {
  it.each([
    [1024, 32],
    [320, 20],
    [100, 6],
    [40, 2],
    [20, 1],
  ])('ends at a limit of %i when %i connections fewer are open', (limit, margin) => {
    const events: string[] = [];
    const shortage = new DescriptorShortage(limit, new Clock(), ({ type }) => events.push(type));
    expect(shortage.refuses(limit - 32, 500)).toBe(true);
    shortage.closed(500 - margin + 1);
    expect(events).toEqual(['exhausted']);
    shortage.closed(500 - margin);
    expect(events).toEqual(['exhausted', 'recovered']);
  });
});
