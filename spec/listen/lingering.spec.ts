import { describe, expect, it } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import { Lingering } from '../../lib/listen/lingering.ts';

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

  it('have a linger of 0 while there are 1000 of them', () => {
    const lingering = new Lingering();
    const { all } = connections(1000);
    const last = all.pop() as SocketConnection;
    for (const one of all) lingering.add(one);
    expect(lingering.time).toBe(100);
    lingering.add(last);
    expect(lingering.time).toBe(0);
    lingering.delete(last);
    expect(lingering.time).toBe(100);
  });
});
