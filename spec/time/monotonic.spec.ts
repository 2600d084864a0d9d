import { asyncScheduler } from 'rxjs';
import { afterEach, expect, it, vi } from 'vitest';
import { defaultClock, monotonic } from '../../lib/time/monotonic.ts';
import { afterTurn, endOfTurn } from '../../lib/time/turn.ts';
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

it('afterTurn lets the event loop poll: what could be read is read before', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    afterTurn(monotonic, () => {
      order.push('afterTurn');
      resolve();
    });
    setImmediate(() => order.push('a turn'));
    queueMicrotask(() => order.push('microtask'));
  });
  expect(order).toEqual(['microtask', 'a turn', 'afterTurn']);
});

it('afterTurn and endOfTurn take no time on virtual time, and are not within the call', () => {
  const order: string[] = [];
  marbles(({ clock, flush }) => {
    clock.schedule(() => {
      afterTurn(clock, () => order.push(`afterTurn ${clock.now()}`));
      endOfTurn(clock, () => order.push(`endOfTurn ${clock.now()}`));
      order.push('call');
    }, 7);
    flush();
  })();
  expect(order).toEqual(['call', 'endOfTurn 7', 'afterTurn 7']);
});

it('endOfTurn is a microtask on the real clock', async () => {
  const order: string[] = [];
  endOfTurn(monotonic, () => order.push('endOfTurn'));
  queueMicrotask(() => order.push('next'));
  order.push('call');
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['call', 'endOfTurn', 'next']);
});
