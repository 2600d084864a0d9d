import { describe, expect, it } from 'vitest';
import { WaitingRoom, type WaitingRoomOptions } from '../../lib/listen/waitingRoom.ts';
import { Clock } from '../support/clock.ts';

/** A waiting room whose handler takes no connection in the call that hands it out. */
function room(options: Partial<WaitingRoomOptions> = {}) {
  const clock = new Clock();
  const handed: string[] = [];
  const refused: string[] = [];
  const waitingRoom = new WaitingRoom<string>(
    { max: 10, timeout: 100, ahead: 1, clock, ...options },
    { hand: (item) => handed.push(item), refuse: (item, reason) => refused.push(`${item}: ${reason}`) },
  );
  return { clock, waitingRoom, handed, refused };
}

describe('the waiting room', () => {
  it('hands out one connection, and the next only when that is taken', () => {
    const { clock, waitingRoom, handed } = room();
    for (const item of ['a', 'b', 'c']) waitingRoom.arrive(item);
    expect(handed).toEqual(['a']);
    waitingRoom.taken('a');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b']);
    waitingRoom.taken('b');
    clock.jump(0);
    waitingRoom.taken('c');
    expect(handed).toEqual(['a', 'b', 'c']);
    expect(waitingRoom.size).toBe(0);
  });

  it('has as many slots as `ahead` says', () => {
    const { clock, waitingRoom, handed } = room({ ahead: 2 });
    for (const item of ['a', 'b', 'c', 'd']) waitingRoom.arrive(item);
    expect(handed).toEqual(['a', 'b']);
    waitingRoom.taken('b');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b', 'c']);
  });

  it('counts connections that are handed out and not taken as waiting, and refuses one more than `max`', () => {
    const { waitingRoom, refused } = room({ max: 2 });
    for (const item of ['a', 'b', 'c']) waitingRoom.arrive(item);
    expect(waitingRoom.size).toBe(2);
    expect(refused).toEqual(['c: full']);
  });

  it('with `max: 0` serves a connection that is taken at once, and refuses any other', () => {
    const clock = new Clock();
    const log: string[] = [];
    const waitingRoom: WaitingRoom<string> = new WaitingRoom<string>(
      { max: 0, timeout: 100, ahead: 1, clock },
      {
        hand: (item) => (item === 'b' ? log.push('b is not taken') : waitingRoom.taken(item)),
        refuse: (item, reason) => log.push(`${item}: ${reason}`),
      },
    );
    for (const item of ['a', 'b', 'c']) waitingRoom.arrive(item);
    expect(log).toEqual(['b is not taken', 'b: full', 'c: full']);
    waitingRoom.taken('b');
    waitingRoom.arrive('d');
    expect(log).toEqual(['b is not taken', 'b: full', 'c: full']);
  });

  it('refuses each connection when its own wait is over, and not before', () => {
    const { clock, waitingRoom, refused } = room();
    waitingRoom.arrive('a');
    clock.jump(50);
    waitingRoom.arrive('b');
    clock.jump(49);
    expect(refused).toEqual([]);
    clock.jump(1);
    expect(refused).toEqual(['a: timeout']);
    clock.jump(50);
    expect(refused).toEqual(['a: timeout', 'b: timeout']);
    expect(waitingRoom.size).toBe(0);
  });

  it('keeps the slot of a connection that left after it was handed out, until the operator subscribes to it', () => {
    const { clock, waitingRoom, handed } = room({ timeout: 100 });
    waitingRoom.arrive('a');
    waitingRoom.taken('a');
    waitingRoom.arrive('b');
    clock.jump(60);
    waitingRoom.arrive('c');
    expect(handed).toEqual(['a', 'b']);
    waitingRoom.leave('b', false);
    expect(handed).toEqual(['a', 'b']);
    waitingRoom.taken('b');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b', 'c']);
  });

  it('frees the slot of a connection that the operator dropped, `timeout` after the hand-out', () => {
    const { clock, waitingRoom, handed } = room({ timeout: 100 });
    waitingRoom.arrive('dropped');
    clock.jump(50);
    waitingRoom.arrive('b');
    clock.jump(49);
    expect(handed).toEqual(['dropped']);
    clock.jump(1);
    expect(handed).toEqual(['dropped', 'b']);
  });

  it('frees the slot of a dropped connection also when no other may wait', () => {
    const { clock, waitingRoom, handed, refused } = room({ timeout: 100, max: 1 });
    waitingRoom.arrive('dropped');
    clock.jump(1000);
    waitingRoom.arrive('b');
    expect(handed).toEqual(['dropped', 'b']);
    expect(refused).toEqual(['dropped: timeout']);
  });

  it('frees the slot of a connection that the operator refuses', () => {
    const { clock, waitingRoom, handed } = room();
    for (const item of ['a', 'b']) waitingRoom.arrive(item);
    expect(waitingRoom.leave('a', true)).toBe(true);
    clock.jump(0);
    expect(handed).toEqual(['a', 'b']);
    expect(waitingRoom.leave('a', true)).toBe(false);
  });

  it('hands out no connection before those in the queue, though a slot is free when it arrives', () => {
    const { clock, waitingRoom, handed } = room();
    for (const item of ['a', 'b']) waitingRoom.arrive(item);
    waitingRoom.taken('a');
    waitingRoom.arrive('c');
    waitingRoom.taken('b');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b', 'c']);
  });

  it('refuses all connections when it closes, and each one that arrives later', () => {
    const { clock, waitingRoom, handed, refused } = room();
    for (const item of ['a', 'b', 'c']) waitingRoom.arrive(item);
    waitingRoom.close();
    waitingRoom.arrive('d');
    expect(refused).toEqual(['a: draining', 'b: draining', 'c: draining', 'd: draining']);
    waitingRoom.taken('a');
    clock.jump(1000);
    expect(handed).toEqual(['a']);
    expect(refused).toHaveLength(4);
    expect(waitingRoom.size).toBe(0);
  });

  it('hands out no connection when a refusal at the close frees a slot', () => {
    const clock = new Clock();
    const handed: string[] = [];
    const waitingRoom: WaitingRoom<string> = new WaitingRoom<string>(
      { max: 10, timeout: 100, ahead: 1, clock },
      { hand: (item) => handed.push(item), refuse: (item) => waitingRoom.taken(item) },
    );
    for (const item of ['a', 'b', 'c']) waitingRoom.arrive(item);
    waitingRoom.close();
    expect(handed).toEqual(['a']);
  });

  it('leaves no timer', () => {
    const { clock, waitingRoom } = room();
    for (const item of ['a', 'b', 'c']) waitingRoom.arrive(item);
    for (const item of ['a', 'b', 'c']) {
      waitingRoom.taken(item);
      clock.jump(0);
    }
    expect(waitingRoom.size).toBe(0);
    clock.jump(100);
    expect(clock.actions).toEqual([]);
  });

  it('never refuses a connection whose wait has no limit', () => {
    const { clock, waitingRoom, refused } = room({ timeout: Number.POSITIVE_INFINITY });
    for (const item of ['a', 'b']) waitingRoom.arrive(item);
    expect(clock.actions).toEqual([]);
    clock.jump(1e9);
    expect(refused).toEqual([]);
  });

  it('hands out in a loop: a hundred thousand connections that are taken at once overflow no stack', () => {
    const clock = new Clock();
    let takes = false;
    let taken = 0;
    const waitingRoom: WaitingRoom<number> = new WaitingRoom<number>(
      { max: 200_000, timeout: 1000, ahead: 1, clock },
      {
        hand: (item) => {
          if (!takes) return;
          taken++;
          waitingRoom.taken(item);
        },
        refuse: () => {
          throw new Error('no connection is refused here');
        },
      },
    );
    for (let item = 0; item < 100_000; item++) waitingRoom.arrive(item);
    takes = true;
    waitingRoom.taken(0);
    clock.jump(0);
    expect(taken).toBe(99_999);
    expect(waitingRoom.size).toBe(0);
  });
});
