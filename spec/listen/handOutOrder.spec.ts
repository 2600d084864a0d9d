import { describe, expect, it } from 'vitest';
import { HandOutOrder } from '../../lib/listen/handOutOrder.ts';
import { WaitingRoom } from '../../lib/listen/waitingRoom.ts';
import { Clock } from '../support/clock.ts';

describe('the adaptive order', () => {
  /** @returns Whether the newest is next at a time, if the first has waited since another. */
  function adaptive() {
    const clock = new Clock();
    const order = new HandOutOrder('adaptive', clock);
    return {
      emptiedAt: (time: number) => {
        clock.frame = time;
        order.emptied();
      },
      at: (time: number, since: number) => {
        clock.frame = time;
        return order.isNewestFirst(since);
      },
    };
  }

  it('turns when all have waited for 5 ms or more for 100 ms', () => {
    const { emptiedAt, at } = adaptive();
    emptiedAt(1000);
    expect([at(1005, 1000), at(1099, 1000), at(1100, 1000)]).toEqual([false, false, true]);
  });

  it('begins anew if one waited for less than 5 ms', () => {
    const { emptiedAt, at } = adaptive();
    emptiedAt(1000);
    expect([at(1054, 1050), at(1100, 1050), at(1153, 1050), at(1154, 1050)]).toEqual([false, false, false, true]);
    emptiedAt(2000);
    expect([at(2055, 2050), at(2100, 2050)]).toEqual([false, true]);
  });

  it('stays until none waits', () => {
    const { emptiedAt, at } = adaptive();
    emptiedAt(0);
    expect([at(100, 0), at(5000, 0)]).toEqual([true, true]);
    emptiedAt(5001);
    expect([at(5100, 5001), at(5101, 5001)]).toEqual([false, true]);
  });
});

/** Hands out one for each call of `next`, in a room of 3. */
function room(order: 'fifo' | 'newest' | 'adaptive') {
  const clock = new Clock();
  const log: string[] = [];
  let handed: string | undefined;
  const waitingRoom: WaitingRoom<string> = new WaitingRoom<string>(
    { max: 4, timeout: 10_000, ahead: 1, order, clock },
    {
      hand: (item) => {
        log.push(item);
        handed = item;
      },
      refuse: (item, reason) => log.push(`${item}: ${reason}`),
    },
  );
  const arrive = (items: string) => {
    for (const item of items) waitingRoom.arrive(item);
  };
  const next = (ms = 0) => {
    clock.jump(ms);
    if (handed !== undefined) waitingRoom.taken(handed);
    clock.jump(0);
  };
  return { log, arrive, next };
}

describe('connections are handed out', () => {
  it.each([
    ['fifo', ['a', 'e: full', 'b', 'c', 'd']],
    // The first one was handed out when it came.
    ['newest', ['a', 'b: full', 'e', 'd', 'c']],
    ['adaptive', ['a', 'e: full', 'b', 'c', 'd']],
  ] as const)('in the order of `%s`, and one is refused if the room is full', (order, expected) => {
    const { log, arrive, next } = room(order);
    arrive('abcde');
    for (let i = 0; i < 4; i++) next();
    expect(log).toEqual(expected);
  });

  it('under overload with `adaptive` newest first, and in order again when none has waited', () => {
    const { log, arrive, next } = room('adaptive');
    arrive('abc');
    next(99);
    arrive('d');
    expect(log).toEqual(['a', 'b']);
    next(1);
    expect(log).toEqual(['a', 'b', 'd']);
    arrive('efg');
    expect(log.splice(0)).toEqual(['a', 'b', 'd', 'c: full']);
    for (let i = 0; i < 4; i++) next(10);
    expect(log.splice(0)).toEqual(['g', 'f', 'e']);
    // A long time later.
    next(1_000_000);
    arrive('hij');
    next(50);
    expect(log).toEqual(['h', 'i']);
  });
});

it('each waits for its own time, also where the newest was handed out first', () => {
  const clock = new Clock();
  const log: string[] = [];
  const waitingRoom = new WaitingRoom<string>(
    { max: 9, timeout: 100, ahead: 2, order: 'newest', clock },
    { hand: (item) => log.push(item), refuse: (item, reason) => log.push(`${item}: ${reason} at ${clock.now()}`) },
  );
  for (const item of 'abcd') {
    waitingRoom.arrive(item);
    clock.jump(10);
  }
  for (const item of 'ab') {
    waitingRoom.taken(item);
    clock.jump(0);
  }
  clock.jump(1000);
  expect(log).toEqual(['a', 'b', 'd', 'c', 'c: timeout at 120', 'd: timeout at 130']);
});
