import { expect, it, vi } from 'vitest';
import { flushLater } from '../../lib/connection/flushLater.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { Clock } from '../support/clock.ts';
import { withFreshModules } from '../support/freshModules.ts';
import { marbles } from '../support/marbles.ts';
import { uncaughtWhile } from '../support/uncaught.ts';

/** Resolves after the microtasks of this callback, and what they have added. */
const tick = () => new Promise<void>((resolve) => process.nextTick(resolve));

it('flushes all outputs of one callback together, in the order of the calls, after its microtasks', async () => {
  const flushed: string[] = [];
  for (const name of ['a', 'b', 'c']) flushLater({ flush: () => flushed.push(name) }, monotonic);
  for (let depth = 0; depth < 20; depth++) await null;
  expect(flushed).toEqual([]);
  await tick();
  expect(flushed).toEqual(['a', 'b', 'c']);
});

it('flushes in the next tick an output that is added during a flush', async () => {
  const flushed: string[] = [];
  flushLater({ flush: () => flushLater({ flush: () => flushed.push('later') }, monotonic) }, monotonic);
  await tick();
  await tick();
  expect(flushed).toEqual(['later']);
});

it('flushes the other outputs although the flush of one throws', async () => {
  const flush = (output: { flush(): void }) => flushLater(output, monotonic);
  const flushed: string[] = [];
  const thrown = await uncaughtWhile(async () => {
    flush({ flush: () => flushed.push('a') });
    flush({
      flush: () => {
        throw new Error('no flush');
      },
    });
    flush({ flush: () => flushed.push('b') });
    flush({ flush: () => flushed.push('c') });
    await tick();
    await tick();
  });
  expect(flushed).toEqual(['a', 'b', 'c']);
  expect(thrown).toEqual(['no flush']);
});

it('flushes on virtual time before the clock advances', () => {
  const flushed: number[] = [];
  marbles(({ clock, flush }) => {
    clock.schedule(() => flushLater({ flush: () => flushed.push(clock.now()) }, clock), 5);
    flush();
  })();
  expect(flushed).toEqual([5]);
});

it('also flushes after the callback with any other clock, however late that clock runs its actions', async () => {
  let flushes = 0;
  flushLater({ flush: () => flushes++ }, new Clock());
  await tick();
  expect(flushes).toBe(1);
});

it('flushes in a microtask if ticks were faked before the module was loaded', async () => {
  // What @sinonjs/fake-timers puts in place of a timer, for Jest and others, has the clock as a property.
  const faked = vi.spyOn(process, 'nextTick').mockImplementation(() => {});
  Object.assign(process.nextTick, { clock: {} });
  try {
    await withFreshModules(async () => {
      const fresh = await import('../../lib/connection/flushLater.ts');
      let flushes = 0;
      fresh.flushLater({ flush: () => flushes++ }, new Clock());
      await null;
      expect(flushes).toBe(1);
    });
  } finally {
    faked.mockRestore();
  }
});
