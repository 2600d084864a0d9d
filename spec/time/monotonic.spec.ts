import { asyncScheduler } from 'rxjs';
import { afterEach, expect, it, vi } from 'vitest';
import { afterPoll, endOfCallback } from '../../lib/time/eventLoop.ts';
import { defaultClock, monotonic } from '../../lib/time/monotonic.ts';
import { marbles } from '../support/marbles.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

it('does not follow the system clock', () => {
  const before = monotonic.now();
  const system = Date.now();
  vi.spyOn(Date, 'now').mockReturnValue(system - 3_600_000);
  expect(monotonic.now() - before).toBeGreaterThanOrEqual(0);
  expect(monotonic.now() - before).toBeLessThan(10_000);
});

it('schedules work, and cancels it on unsubscribe', async () => {
  let calls = 0;
  monotonic.schedule(() => calls++, 1).unsubscribe();
  await new Promise<void>((resolve) => monotonic.schedule(() => resolve(), 5));
  expect(calls).toBe(0);
});

it('is the default clock, except on virtual time', () => {
  expect(defaultClock()).toBe(monotonic);
  marbles(() => expect(defaultClock()).toBe(asyncScheduler))();
  expect(defaultClock()).toBe(monotonic);
});

it('afterPoll calls back after the event loop has polled', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    afterPoll(monotonic, () => {
      order.push('afterPoll');
      resolve();
    });
    setImmediate(() => order.push('iteration'));
    queueMicrotask(() => order.push('microtask'));
  });
  expect(order).toEqual(['microtask', 'iteration', 'afterPoll']);
});

it('afterPoll and endOfCallback call back at the same virtual time, and not within the call', () => {
  const order: string[] = [];
  marbles(({ clock, flush }) => {
    clock.schedule(() => {
      afterPoll(clock, () => order.push(`afterPoll ${clock.now()}`));
      endOfCallback(clock, () => order.push(`endOfCallback ${clock.now()}`));
      order.push('call');
    }, 7);
    flush();
  })();
  expect(order).toEqual(['call', 'endOfCallback 7', 'afterPoll 7']);
});

it('endOfCallback calls back in a microtask on the real clock', async () => {
  const order: string[] = [];
  endOfCallback(monotonic, () => order.push('endOfCallback'));
  queueMicrotask(() => order.push('next'));
  order.push('call');
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['call', 'endOfCallback', 'next']);
});
