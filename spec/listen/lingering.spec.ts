import { describe, expect, it, vi } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import { defaultLimits } from '../../lib/listen/limits.ts';
import { Lingering } from '../../lib/listen/lingering.ts';
import { withFreshModules } from '../support/freshModules.ts';

function connections(count: number) {
  const closed: number[] = [];
  const all = Array.from(
    { length: count },
    (_, id) => ({ close: () => closed.push(id) }) as unknown as SocketConnection,
  );
  return { all, closed };
}

describe('the connections that linger', () => {
  it('report their end at once when there are none', () => {
    let over = false;
    new Lingering().over.subscribe({ complete: () => (over = true) });
    expect(over).toBe(true);
  });

  it('report their end when the last of them is closed, and not before', () => {
    const lingering = new Lingering();
    const { all } = connections(3);
    for (const one of all) lingering.add(one);
    let over = false;
    lingering.over.subscribe({ complete: () => (over = true) });
    for (const one of all) {
      expect(over).toBe(false);
      lingering.delete(one);
    }
    expect(over).toBe(true);
  });

  it('do not report their end to a subscriber that has unsubscribed', () => {
    const lingering = new Lingering();
    const [one] = connections(1).all;
    if (one) lingering.add(one);
    let over = false;
    lingering.over.subscribe({ complete: () => (over = true) }).unsubscribe();
    if (one) lingering.delete(one);
    expect(over).toBe(false);
  });

  it('report their end when they are closed, although their sockets are not closed yet', () => {
    const lingering = new Lingering();
    const { all, closed } = connections(3);
    for (const one of all) lingering.add(one);
    let over = false;
    lingering.over.subscribe({ complete: () => (over = true) });
    lingering.close();
    expect([closed, over]).toEqual([[0, 1, 2], true]);
  });

  it.each([1, 7, 1000])('have a linger of 0 while there are as many as may be: %i', (max) => {
    const lingering = new Lingering(max);
    const { all } = connections(max);
    const last = all.pop() as SocketConnection;
    for (const one of all) lingering.add(one);
    expect(lingering.time).toBe(100);
    lingering.add(last);
    expect(lingering.time).toBe(0);
    lingering.delete(last);
    expect(lingering.time).toBe(100);
  });

  it('are none where the process may have very few descriptors', () => {
    expect(new Lingering(0).time).toBe(0);
  });

  it.each([256, 1024])('leave descriptors to others by default, where the process may have %i', async (descriptors) => {
    vi.doMock('../../lib/listen/descriptorLimit.ts', () => ({ descriptorLimit: () => descriptors }));
    try {
      await withFreshModules(async () => {
        const { Lingering } = await import('../../lib/listen/lingering.ts');
        const lingering = new Lingering();
        const { all } = connections(1000);
        while (lingering.time > 0) lingering.add(all.pop() as SocketConnection);
        expect(1000 - all.length).toBe(defaultLimits(descriptors).lingering);
      });
    } finally {
      vi.doUnmock('../../lib/listen/descriptorLimit.ts');
    }
  });
});
