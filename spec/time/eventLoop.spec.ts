import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { afterPoll, nextIteration } from '../../lib/time/eventLoop.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { iteration } from '../support/clock.ts';

// The clock stands still unless a spec moves it, because a time slice is over after 1 ms.
beforeEach(async () => {
  await iteration();
  vi.spyOn(performance, 'now').mockReturnValue(performance.now());
});
afterEach(() => vi.restoreAllMocks());

/** Lets `ms` pass between any two readings of the clock, as on a busy machine. */
function busy(ms: number): void {
  let now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += ms;
    return now;
  });
}

describe('nextIteration', () => {
  it('calls all callbacks in the next iteration, in order, and none in this one', async () => {
    const called: string[] = [];
    for (const name of ['a', 'b', 'c']) nextIteration(monotonic, () => called.push(name));
    expect(called).toEqual([]);
    await iteration();
    expect(called).toEqual(['a', 'b', 'c']);
  });

  it('leaves a callback that is added meanwhile to the iteration after that', async () => {
    const called: string[] = [];
    nextIteration(monotonic, () => {
      called.push('a');
      nextIteration(monotonic, () => called.push('b'));
    });
    await iteration();
    expect(called).toEqual(['a']);
    await iteration();
    expect(called).toEqual(['a', 'b']);
  });

  // Once, callbacks were lost if the process was suspended for a millisecond just before the first of them.
  it('calls at least one callback in each iteration, however busy the machine is', async () => {
    busy(5);
    const called: string[] = [];
    for (const name of ['a', 'b', 'c']) nextIteration(monotonic, () => called.push(name));
    for (let iterations = 0; iterations < 3; iterations++) await iteration();
    expect(called).toEqual(['a', 'b', 'c']);
  });

  it('calls the callbacks after one that throws', async () => {
    const thrown: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => thrown.push(error));
    const called: string[] = [];
    nextIteration(monotonic, () => {
      throw new Error('a');
    });
    nextIteration(monotonic, () => called.push('b'));
    await iteration();
    await iteration();
    for (const listener of listeners) process.on('uncaughtException', listener);
    expect(thrown).toEqual([new Error('a')]);
    expect(called).toEqual(['b']);
  });
});

describe('afterPoll', () => {
  it('calls back after the poll that follows the next iteration', async () => {
    let called = false;
    afterPoll(monotonic, () => {
      called = true;
    });
    await iteration();
    expect(called).toBe(false);
    await iteration();
    expect(called).toBe(true);
  });
});
