import { type SchedulerLike, Subscription } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { afterDelay } from '../../lib/shutdown/delay.ts';
import { monotonic } from '../../lib/time/monotonic.ts';

/** A clock whose timers fire when the spec moves it, and so may fire late. */
class LateClock {
  #now = 0;
  #timers: { at: number; work: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  schedule(work: () => void, delay = 0): Subscription {
    const timer = { at: this.#now + delay, work };
    this.#timers.push(timer);
    return new Subscription(() => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    });
  }

  moveTo(now: number): void {
    this.#now = now;
    const due = this.#timers.filter(({ at }) => at <= now);
    this.#timers = this.#timers.filter(({ at }) => at > now);
    for (const { work } of due) work();
  }
}

function delayed(delay: number) {
  const clock = new LateClock();
  const calls: number[] = [];
  const cancel = afterDelay(clock as unknown as SchedulerLike, delay, () => calls.push(clock.now()));
  return { clock, calls, cancel };
}

describe('a delay of the shutdown', () => {
  it('calls back once, when it is over', () => {
    const { clock, calls } = delayed(1000);
    clock.moveTo(999);
    expect(calls).toEqual([]);
    clock.moveTo(1000);
    clock.moveTo(10_000);
    expect(calls).toEqual([1000]);
  });

  it('calls back at once when the process was late by less than 100 ms', () => {
    const { clock, calls } = delayed(1000);
    clock.moveTo(1099);
    expect(calls).toEqual([1099]);
  });

  it.each([
    ['that time', { delay: 1000, lateBy: 100, longer: 100 }],
    ['that time', { delay: 5000, lateBy: 900, longer: 900 }],
    ['the delay', { delay: 300, lateBy: 60_000, longer: 300 }],
    ['a second', { delay: 5000, lateBy: 60_000, longer: 1000 }],
  ])('is longer by %s when the process did not run when it was over: %o', (_what, { delay, lateBy, longer }) => {
    const { clock, calls } = delayed(delay);
    clock.moveTo(delay + lateBy);
    clock.moveTo(delay + lateBy + longer - 1);
    expect(calls).toEqual([]);
    clock.moveTo(delay + lateBy + longer);
    expect(calls).toEqual([delay + lateBy + longer]);
  });

  it('is made longer once', () => {
    const { clock, calls } = delayed(1000);
    clock.moveTo(2000);
    clock.moveTo(60_000);
    expect(calls).toEqual([60_000]);
  });

  it('does not call back after it was cancelled', () => {
    const { clock, calls, cancel } = delayed(1000);
    cancel();
    clock.moveTo(1000);
    expect(calls).toEqual([]);
  });

  it('keeps the process alive, otherwise a drain would end without its report', () => {
    // Only timers that keep the process alive are listed.
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    const cancel = afterDelay(monotonic, 60_000, () => {});
    expect(timers()).toBe(before + 1);
    cancel();
    expect(timers()).toBe(before);
  });
});
