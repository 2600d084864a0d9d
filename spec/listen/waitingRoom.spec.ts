import { describe, expect, it } from 'vitest';
import { WaitingRoom, type WaitingRoomOptions } from '../../lib/listen/waitingRoom.ts';
import { Clock } from '../support/clock.ts';

/** A waiting room, and a pipe that takes nobody until it is told to. */
function room(options: Partial<WaitingRoomOptions> = {}) {
  const clock = new Clock();
  const handed: string[] = [];
  const refused: string[] = [];
  const demand = new WaitingRoom<string>(
    { max: 10, timeout: 100, ahead: 1, clock, ...options },
    { hand: (item) => handed.push(item), refuse: (item, reason) => refused.push(`${item}: ${reason}`) },
  );
  return { clock, demand, handed, refused };
}

describe('Demand', () => {
  it('hands out one, and the next only when that has been taken', () => {
    const { clock, demand, handed } = room();
    for (const item of ['a', 'b', 'c']) demand.arrive(item);
    expect(handed).toEqual(['a']);
    demand.taken('a');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b']);
    demand.taken('b');
    clock.jump(0);
    demand.taken('c');
    expect(handed).toEqual(['a', 'b', 'c']);
    expect(demand.size).toBe(0);
  });

  it('has as many in hand as `ahead` says', () => {
    const { clock, demand, handed } = room({ ahead: 2 });
    for (const item of ['a', 'b', 'c', 'd']) demand.arrive(item);
    expect(handed).toEqual(['a', 'b']);
    demand.taken('b');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b', 'c']);
  });

  it('counts those in hand as waiting, and refuses who is one too many', () => {
    const { demand, refused } = room({ max: 2 });
    for (const item of ['a', 'b', 'c']) demand.arrive(item);
    expect(demand.size).toBe(2);
    expect(refused).toEqual(['c: full']);
  });

  it('lets nobody wait where there is no room, yet serves who is taken at once', () => {
    const clock = new Clock();
    const log: string[] = [];
    const demand: WaitingRoom<string> = new WaitingRoom<string>(
      { max: 0, timeout: 100, ahead: 1, clock },
      {
        hand: (item) => (item === 'b' ? log.push('b is not taken') : demand.taken(item)),
        refuse: (item, reason) => log.push(`${item}: ${reason}`),
      },
    );
    for (const item of ['a', 'b', 'c']) demand.arrive(item);
    expect(log).toEqual(['b is not taken', 'b: full', 'c: full']);
    demand.taken('b');
    demand.arrive('d');
    expect(log).toEqual(['b is not taken', 'b: full', 'c: full']);
  });

  it('refuses each when its own wait is over, and not before', () => {
    const { clock, demand, refused } = room();
    demand.arrive('a');
    clock.jump(50);
    demand.arrive('b');
    clock.jump(49);
    expect(refused).toEqual([]);
    clock.jump(1);
    expect(refused).toEqual(['a: timeout']);
    clock.jump(50);
    expect(refused).toEqual(['a: timeout', 'b: timeout']);
    expect(demand.size).toBe(0);
  });

  it('keeps the place in hand of one whose wait is over, until the pipe comes to him', () => {
    const { clock, demand, handed } = room({ timeout: 100 });
    demand.arrive('a');
    demand.taken('a');
    demand.arrive('b');
    clock.jump(60);
    demand.arrive('c');
    expect(handed).toEqual(['a', 'b']);
    demand.leave('b', false);
    expect(handed).toEqual(['a', 'b']);
    demand.taken('b');
    clock.jump(0);
    expect(handed).toEqual(['a', 'b', 'c']);
  });

  it('frees the place of one whom the pipe has forgotten, when a wait has passed', () => {
    const { clock, demand, handed } = room({ timeout: 100 });
    demand.arrive('forgotten');
    clock.jump(50);
    demand.arrive('b');
    clock.jump(49);
    expect(handed).toEqual(['forgotten']);
    clock.jump(1);
    expect(handed).toEqual(['forgotten', 'b']);
  });

  it('sees that somebody was forgotten also when nobody waits behind him and nobody may', () => {
    const { clock, demand, handed, refused } = room({ timeout: 100, max: 1 });
    demand.arrive('forgotten');
    clock.jump(1000);
    demand.arrive('b');
    expect(handed).toEqual(['forgotten', 'b']);
    expect(refused).toEqual(['forgotten: timeout']);
  });

  it('frees at once the place of one whom the pipe refuses', () => {
    const { clock, demand, handed } = room();
    for (const item of ['a', 'b']) demand.arrive(item);
    expect(demand.leave('a', true)).toBe(true);
    clock.jump(0);
    expect(handed).toEqual(['a', 'b']);
    expect(demand.leave('a', true)).toBe(false);
  });

  it('sends everybody away when it closes, and whoever comes later', () => {
    const { clock, demand, handed, refused } = room();
    for (const item of ['a', 'b', 'c']) demand.arrive(item);
    demand.close();
    demand.arrive('d');
    expect(refused).toEqual(['a: draining', 'b: draining', 'c: draining', 'd: draining']);
    demand.taken('a');
    clock.jump(1000);
    expect(handed).toEqual(['a']);
    expect(refused).toHaveLength(4);
    expect(demand.size).toBe(0);
  });

  it('starts nobody whom a refusal at the close sets free', () => {
    const clock = new Clock();
    const handed: string[] = [];
    const demand: WaitingRoom<string> = new WaitingRoom<string>(
      { max: 10, timeout: 100, ahead: 1, clock },
      { hand: (item) => handed.push(item), refuse: (item) => demand.taken(item) },
    );
    for (const item of ['a', 'b', 'c']) demand.arrive(item);
    demand.close();
    expect(handed).toEqual(['a']);
  });

  it('leaves no timer behind', () => {
    const { clock, demand } = room();
    for (const item of ['a', 'b', 'c']) demand.arrive(item);
    for (const item of ['a', 'b', 'c']) {
      demand.taken(item);
      clock.jump(0);
    }
    expect(demand.size).toBe(0);
    clock.jump(100);
    expect(clock.actions).toEqual([]);
  });

  it('knows no end of a wait that has none', () => {
    const { clock, demand, refused } = room({ timeout: Number.POSITIVE_INFINITY });
    for (const item of ['a', 'b']) demand.arrive(item);
    expect(clock.actions).toEqual([]);
    clock.jump(1e9);
    expect(refused).toEqual([]);
  });

  it('releases in a loop: a hundred thousand who are taken at once are no hundred thousand frames', () => {
    const clock = new Clock();
    let takes = false;
    let taken = 0;
    const demand: WaitingRoom<number> = new WaitingRoom<number>(
      { max: 200_000, timeout: 1000, ahead: 1, clock },
      {
        hand: (item) => {
          if (!takes) return;
          taken++;
          demand.taken(item);
        },
        refuse: () => {
          throw new Error('nobody is refused here');
        },
      },
    );
    for (let item = 0; item < 100_000; item++) demand.arrive(item);
    takes = true;
    demand.taken(0);
    clock.jump(0);
    expect(taken).toBe(99_999);
    expect(demand.size).toBe(0);
  });
});
