import { Subscriber, VirtualTimeScheduler } from 'rxjs';
import { expect, it } from 'vitest';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { ReplyOrder } from '../../lib/flow/replyOrder.ts';
import { connectionWith } from '../support/internals.ts';

it.each([true, false])(
  'waits for room at the next piece if no stack was left to wait before (ordered: %s)',
  (ordered) => {
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
    const order = new ReplyOrder(connection, ordered, Number.POSITIVE_INFINITY, to, () => {});
    const slot = order.enter();
    expect(() => order.add(slot, 'a')).toThrow(RangeError);
    at.isStackFull = false;
    order.add(slot, 'b');
    at.congested = false;
    for (const waiter of waiters) waiter();
    expect(sent).toEqual(['a', 'b']);
  },
);
