import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { LazyTimer } from '../../lib/time/lazyTimer.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { NOWHERE, type Sleeper, sharedTimer } from '../../lib/time/sharedTimer.ts';
import { iteration } from '../support/clock.ts';
import { withFreshModules } from '../support/freshModules.ts';

afterEach(() => vi.restoreAllMocks());

const until = (done: () => boolean) => vi.waitUntil(done, { timeout: 55_000, interval: 1 });

class Timer extends LazyTimer {
  protected readonly clock = monotonic;
  deadline: number;
  readonly #expired: () => void;

  constructor(deadline: number, expired: () => void) {
    super();
    this.deadline = deadline;
    this.#expired = expired;
  }

  protected override get isShared(): boolean {
    return true;
  }

  due(): number {
    return this.deadline;
  }

  expire(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#expired();
  }
}

it('wakes sleepers in the order of their moments, each once, and none that was removed', async () => {
  const sleeper = fc.record({ wakesAt: fc.integer({ min: -20, max: 3 }), isRemoved: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(sleeper, { maxLength: 100 }), async (all) => {
      const now = Math.ceil(monotonic.now());
      const woken: number[] = [];
      const sleepers = all.map(({ wakesAt }) => {
        const one: Sleeper = { wakesAt: now + wakesAt, place: NOWHERE, wake: () => woken.push(wakesAt) };
        return one;
      });
      for (const one of sleepers) sharedTimer.add(one);
      for (const [index, one] of sleepers.entries()) if (all[index]?.isRemoved) sharedTimer.remove(one);
      const left = all.filter(({ isRemoved }) => !isRemoved).map(({ wakesAt }) => wakesAt);
      await until(() => woken.length >= left.length);
      expect(woken).toEqual(left.sort((a, b) => a - b));
      expect(sleepers.every(({ place }) => place === NOWHERE)).toBe(true);
    }),
    { numRuns: 30 },
  );
});

it('wakes a sleeper once a timer, although it is added again for a moment that has passed and the clock stands still', async () => {
  await iteration();
  const now = Math.ceil(monotonic.now());
  vi.spyOn(performance, 'now').mockReturnValue(now);
  let timer = 0;
  const woken: number[] = [];
  const again: Sleeper = {
    wakesAt: now,
    place: NOWHERE,
    wake() {
      woken.push(timer);
      setImmediate(() => timer++);
      if (woken.length < 3) sharedTimer.add(again);
    },
  };
  const removed: Sleeper = { wakesAt: now, place: NOWHERE, wake: () => expect.unreachable() };
  const first: Sleeper = { wakesAt: now - 1, place: NOWHERE, wake: () => sharedTimer.add(removed) };
  const second: Sleeper = { wakesAt: now, place: NOWHERE, wake: () => sharedTimer.remove(removed) };
  for (const one of [first, second, again]) sharedTimer.add(one);
  await until(() => woken.length === 3);
  expect(woken).toEqual([0, 1, 2]);
  expect(removed.place).toBe(NOWHERE);
});

it('makes one timer of the runtime for a thousand sleepers, and another one for an earlier moment', async () => {
  // A new one, for which nothing of another spec waits.
  const { sharedTimer: timer } = await withFreshModules(() => import('../../lib/time/sharedTimer.ts'));
  const made = vi.spyOn(globalThis, 'setTimeout');
  const now = monotonic.now();
  const sleeping = (wakesAt: number): Sleeper => ({ wakesAt, place: NOWHERE, wake: () => expect.unreachable() });
  const sleepers = Array.from({ length: 1000 }, (_, index) => sleeping(now + 60_000 + index));
  for (const one of sleepers) timer.add(one);
  expect(made).toHaveBeenCalledTimes(1);
  const first = sleeping(now + 50_000);
  timer.add(first);
  expect(made).toHaveBeenCalledTimes(2);
  for (const one of [first, ...sleepers]) timer.remove(one);
});

it('expires at an earlier deadline once that is set, and not before a later one to which it was moved lazily', async () => {
  const expired: string[] = [];
  const now = monotonic.now();
  const early = new Timer(now + 60_000, () => expired.push('early'));
  const late = new Timer(now + 1, () => expired.push('late'));
  early.set();
  late.set();
  late.deadline = now + 60_000;
  early.deadline = now + 2;
  early.set();
  await until(() => expired.length > 0 && late.wakesAt > now + 1000);
  expect(expired).toEqual(['early']);
  late.clear();
});

it('expires ten thousand at once, in several iterations of the event loop, and the rest after one that throws', async () => {
  const thrown: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => thrown.push(error));
  const MANY = 10_000;
  let expired = 0;
  let iterations = 0;
  const count = () => {
    iterations++;
    if (expired < MANY) setImmediate(count);
  };
  const now = monotonic.now();
  const timers = Array.from({ length: MANY }, (_, index) => {
    const timer = new Timer(now, () => {
      expired++;
      if (index % 1000 === 0) throw new Error('on purpose');
    });
    return timer;
  });
  for (const timer of timers) timer.set();
  count();
  await until(() => expired === MANY);
  process.removeAllListeners('uncaughtException');
  for (const listener of listeners) process.on('uncaughtException', listener);
  expect(thrown).toHaveLength(10);
  expect(iterations).toBeGreaterThan(5);
});

it('does not expire if it is cleared, or its deadline moved, while others with the same deadline expire', async () => {
  const expired: string[] = [];
  const now = monotonic.now();
  const first = new Timer(now, () => {
    cleared.clear();
    moved.deadline = now + 60_000;
  });
  const cleared = new Timer(now, () => expired.push('cleared'));
  const moved = new Timer(now, () => expired.push('moved'));
  const other = new Timer(now, () => expired.push('other'));
  for (const timer of [first, cleared, moved, other]) timer.set();
  await until(() => expired.length > 0 && moved.place >= 0 && moved.wakesAt > now + 1000);
  expect(expired).toEqual(['other']);
  expect(cleared.place).toBe(NOWHERE);
  moved.clear();
});

it('a timer that is set while timers are faked waits for the fake clock, and the shared timer stays as it is', async () => {
  const expired: string[] = [];
  const real = new Timer(monotonic.now() + 5, () => expired.push('real'));
  real.set();
  vi.useFakeTimers();
  try {
    const faked = new Timer(monotonic.now() + 1000, () => expired.push('faked'));
    faked.set();
    expect(faked.place).toBe(NOWHERE);
    await vi.advanceTimersByTimeAsync(1100);
    expect(expired).toEqual(['faked']);
  } finally {
    vi.useRealTimers();
  }
  await until(() => expired.length === 2);
});
