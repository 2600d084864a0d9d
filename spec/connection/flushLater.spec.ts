import { expect, it } from 'vitest';
import { flushLater } from '../../lib/connection/flushLater.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { Clock } from '../support/clock.ts';
import { marbles } from '../support/marbles.ts';

const microtask = () => new Promise<void>((resolve) => queueMicrotask(resolve));

it('flushes all outputs of one event-loop iteration in one microtask, in the order of the calls', async () => {
  const flushed: string[] = [];
  for (const name of ['a', 'b', 'c']) flushLater({ flush: () => flushed.push(name) }, monotonic);
  expect(flushed).toEqual([]);
  await microtask();
  expect(flushed).toEqual(['a', 'b', 'c']);
});

it('flushes in the next microtask an output that is added during a flush', async () => {
  const flushed: string[] = [];
  flushLater({ flush: () => flushLater({ flush: () => flushed.push('later') }, monotonic) }, monotonic);
  await microtask();
  await microtask();
  expect(flushed).toEqual(['later']);
});

it('flushes on virtual time before the clock advances', () => {
  const flushed: number[] = [];
  marbles(({ clock, flush }) => {
    clock.schedule(() => flushLater({ flush: () => flushed.push(clock.now()) }, clock), 5);
    flush();
  })();
  expect(flushed).toEqual([5]);
});

it('also flushes in a microtask with any other clock, however late that clock runs its actions', async () => {
  let flushes = 0;
  flushLater({ flush: () => flushes++ }, new Clock());
  await microtask();
  expect(flushes).toBe(1);
});
