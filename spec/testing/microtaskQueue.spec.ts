import { expect, it, vi } from 'vitest';
import { MicrotaskQueue } from '../../lib/testing/microtaskQueue.ts';

it('runs a callback that was pushed where the stack had no room to schedule it, after the next push', async () => {
  const queue = new MicrotaskQueue();
  const ran: string[] = [];
  const full = vi.spyOn(Promise.prototype, 'then').mockImplementationOnce(() => {
    throw new RangeError('the stack is full');
  });
  try {
    expect(() => queue.push(() => ran.push('a'))).toThrow(RangeError);
  } finally {
    full.mockRestore();
  }
  queue.push(() => ran.push('b'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(ran).toEqual(['a', 'b']);
});
