import { asyncScheduler } from 'rxjs';
import { afterEach, expect, it, vi } from 'vitest';
import { afterPoll, endOfCallback } from '../../lib/time/eventLoop.ts';
import { defaultClock, monotonic } from '../../lib/time/monotonic.ts';
import { marbles } from '../support/marbles.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

it('does not follow the wall clock [E22]', () => {
  const before = monotonic.now();
  const wall = Date.now();
  vi.spyOn(Date, 'now').mockReturnValue(wall - 3_600_000);
  expect(monotonic.now() - before).toBeGreaterThanOrEqual(0);
  expect(monotonic.now() - before).toBeLessThan(10_000);
});

it('schedules what it is given, and lets go of it', async () => {
  let calls = 0;
  monotonic.schedule(() => calls++, 1).unsubscribe();
  await new Promise<void>((resolve) => monotonic.schedule(() => resolve(), 5));
  expect(calls).toBe(0);
});

it('is the default, but for virtual time', () => {
  expect(defaultClock()).toBe(monotonic);
  marbles(() => expect(defaultClock()).toBe(asyncScheduler))();
  expect(defaultClock()).toBe(monotonic);
});

it('afterPoll lets the event loop poll: what could be read is read before', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    afterPoll(monotonic, () => {
      order.push('afterPoll');
      resolve();
    });
    setImmediate(() => order.push('a turn'));
    queueMicrotask(() => order.push('microtask'));
  });
  expect(order).toEqual(['microtask', 'a turn', 'afterPoll']);
});

it('afterPoll and endOfCallback take no time on virtual time, and are not within the call', () => {
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

it('endOfCallback is a microtask on the real clock', async () => {
  const order: string[] = [];
  endOfCallback(monotonic, () => order.push('endOfCallback'));
  queueMicrotask(() => order.push('next'));
  order.push('call');
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['call', 'endOfCallback', 'next']);
});
