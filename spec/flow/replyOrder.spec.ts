import { Subscriber, VirtualTimeScheduler } from 'rxjs';
import { expect, it } from 'vitest';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { ReplyOrder } from '../../lib/flow/replyOrder.ts';
import { connectionWith } from '../support/internals.ts';

it('waits for room with the next piece if no stack was left to wait with the last one', () => {
  const waiters: (() => void)[] = [];
  const sent: Data[] = [];
  const at = { congested: true, isStackFull: true };
  const connection = connectionWith({
    get congested() {
      return at.congested;
    },
    clock: new VirtualTimeScheduler(),
    working() {},
    holdElsewhere() {},
    whenRoom(waiter: () => void) {
      if (at.isStackFull) throw new RangeError('Maximum call stack size exceeded');
      waiters.push(waiter);
    },
  });
  const to = new Subscriber<Data>({ next: (piece: Data) => sent.push(piece), error() {}, complete() {} });
  const order = new ReplyOrder(connection, false, Number.POSITIVE_INFINITY, to, () => {});
  const [first, second] = [order.enter(), order.enter()];
  expect(() => order.add(first, 'a')).toThrow(RangeError);
  at.isStackFull = false;
  order.add(second, 'b');
  at.congested = false;
  for (const waiter of waiters) waiter();
  expect(sent).toEqual(['a', 'b']);
});
