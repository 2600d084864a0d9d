import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { afterPoll, nextIteration } from '../../lib/time/eventLoop.ts';
import { monotonic } from '../../lib/time/monotonic.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

// No time passes but what a spec says: a turn ends after 1 ms.
beforeEach(() => vi.spyOn(performance, 'now').mockReturnValue(performance.now()));
afterEach(() => vi.restoreAllMocks());

/** A machine so busy that `ms` pass between any two looks at the clock. */
function busy(ms: number): void {
  let now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += ms;
    return now;
  });
}

describe('nextIteration', () => {
  it('calls all who wait in the next turn, in order, and not in this one', async () => {
    const called: string[] = [];
    for (const name of ['a', 'b', 'c']) nextIteration(monotonic, () => called.push(name));
    expect(called).toEqual([]);
    await turn();
    expect(called).toEqual(['a', 'b', 'c']);
  });

  it('gives whoever comes while it runs the turn after that', async () => {
    const called: string[] = [];
    nextIteration(monotonic, () => {
      called.push('a');
      nextIteration(monotonic, () => called.push('b'));
    });
    await turn();
    expect(called).toEqual(['a']);
    await turn();
    expect(called).toEqual(['a', 'b']);
  });

  // One that waits was forgotten for ever when the process lost its processor for a millisecond at the wrong moment.
  it('forgets nobody on a machine that is busy with something else', async () => {
    busy(5);
    const called: string[] = [];
    for (const name of ['a', 'b', 'c']) nextIteration(monotonic, () => called.push(name));
    for (let turns = 0; turns < 3; turns++) await turn();
    expect(called).toEqual(['a', 'b', 'c']);
  });

  it('calls those behind one who throws', async () => {
    const thrown: unknown[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => thrown.push(error));
    const called: string[] = [];
    nextIteration(monotonic, () => {
      throw new Error('a');
    });
    nextIteration(monotonic, () => called.push('b'));
    await turn();
    await turn();
    for (const other of others) process.on('uncaughtException', other);
    expect(thrown).toEqual([new Error('a')]);
    expect(called).toEqual(['b']);
  });
});

describe('afterPoll', () => {
  it('comes behind the poll of the next turn', async () => {
    let called = false;
    afterPoll(monotonic, () => {
      called = true;
    });
    await turn();
    expect(called).toBe(false);
    await turn();
    expect(called).toBe(true);
  });
});
