import { expect, it } from 'vitest';
import { HandshakeQueue } from '../../lib/tls/handshakeQueue.ts';
import { Clock } from '../support/clock.ts';

it('begins two handshakes in one iteration, first in, first out', async () => {
  const clock = new Clock();
  const queue = new HandshakeQueue(clock);
  const begun: number[] = [];
  for (let i = 0; i < 5; i++) {
    queue.add(() => {
      begun.push(i);
      return true;
    });
  }
  expect(begun).toEqual([0, 1]);
  await clock.settle();
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});

it('does not count those for which there is no use any more', () => {
  const queue = new HandshakeQueue(new Clock());
  const called: number[] = [];
  const add = (i: number, isWanted: boolean) =>
    queue.add(() => {
      called.push(i);
      return isWanted;
    });
  add(0, true);
  for (let i = 1; i < 10; i++) add(i, false);
  add(10, true);
  add(11, true);
  expect(called).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
