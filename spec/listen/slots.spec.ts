import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { DescriptorShortage } from '../../lib/listen/descriptorShortage.ts';
import { listen } from '../../lib/listen/listen.ts';
import { WaitingRoom } from '../../lib/listen/waitingRoom.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';

describe('a slot of the waiting room', () => {
  it('is kept by a connection whose peer leaves after it was handed out, until the operator comes to it', async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const handed: Connection[] = [];
    // An operator that takes none of them yet, as `mergeMap` at its limit.
    listen({ port: 0 }, { transport: network.transport, scheduler: clock }).subscribe((one) => handed.push(one));
    await clock.settle();
    const first = network.connect();
    network.connect();
    await clock.settle();
    first.break();
    await clock.settle();
    expect(handed.map(({ id }) => id)).toEqual([1]);
    handed[0]?.subscribe({ error: () => undefined });
    await clock.settle();
    expect(handed.map(({ id }) => id)).toEqual([1, 2]);
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
