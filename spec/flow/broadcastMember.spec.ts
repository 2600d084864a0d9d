import { Subscriber } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Overrun } from '../../lib/connection/writeQueue.ts';
import { BroadcastMember } from '../../lib/flow/broadcastMember.ts';
import { connectionWith } from '../support/internals.ts';

/** A member of which at most 20 bytes may wait, on a connection that counts what happens to it. */
function member(overrun: Overrun) {
  const queue = { isWriteInFlight: true, unsent: 0, dropped: 0 };
  const at = { elsewhere: 0, flushes: 0, waiters: [] as (() => void)[], sent: [] as string[], isStackFull: false };
  const output = {
    queue,
    congested: false,
    gathered: 0,
    flush: () => at.flushes++,
    holdElsewhere: (bytes: number) => {
      at.elsewhere += bytes;
    },
  };
  const connection = connectionWith({
    output,
    holdElsewhere: output.holdElsewhere,
    whenRoom: (waiter: () => void) => {
      if (at.isStackFull) throw new RangeError('Maximum call stack size exceeded');
      at.waiters.push(waiter);
    },
  });
  const to = new Subscriber<Uint8Array>({
    next: (value: Uint8Array) => at.sent.push(Buffer.from(value).toString()),
    error: () => {},
    complete: () => at.sent.push('complete'),
  });
  const one = new BroadcastMember(connection, 20, overrun, to);
  return {
    at,
    output,
    queue,
    one,
    offer: (...values: string[]) => {
      for (const value of values) one.offer(Buffer.from(value));
    },
    /** The peer takes all. */
    makeRoom: () => {
      queue.isWriteInFlight = false;
      for (const waiter of at.waiters.splice(0)) waiter();
    },
  };
}

describe('a member of a broadcast', () => {
  it.each(['the next value', 'the end'])('waits for room at %s if no stack was left to wait before', (next) => {
    const { at, one, offer, makeRoom } = member('disconnect');
    at.isStackFull = true;
    expect(() => offer('a')).toThrow(RangeError);
    at.isStackFull = false;
    if (next === 'the end') one.end();
    else offer('b');
    makeRoom();
    expect(at.sent).toEqual(next === 'the end' ? ['a', 'complete'] : ['a', 'b']);
  });

  it('drops no more of the oldest values than the new one needs', () => {
    const { at, queue, offer, makeRoom } = member('drop-oldest');
    offer('11111', '22222', '33333', '44444', '55555');
    expect(queue.dropped).toBe(1);
    makeRoom();
    expect(at.sent).toEqual(['22222', '33333', '44444', '55555']);
  });

  it('drops a value that does not fit even alone, and none of the queued ones for it', () => {
    const { at, queue, offer, makeRoom } = member('drop-oldest');
    offer('11111', '22222', 'x'.repeat(21));
    expect(queue.dropped).toBe(1);
    makeRoom();
    expect(at.sent).toEqual(['11111', '22222']);
  });

  it('counts what waits in its connection as well', () => {
    const { at, queue, offer, makeRoom } = member('drop-newest');
    queue.unsent = 15;
    offer('11111', '22222');
    expect(queue.dropped).toBe(1);
    makeRoom();
    expect(at.sent).toEqual(['11111']);
  });

  it('holds the bytes that are queued, and none of them after they have left or it has', () => {
    const { at, offer, one, makeRoom } = member('drop-newest');
    offer('11111', '22222');
    expect(at.elsewhere).toBe(10);
    makeRoom();
    expect(at.elsewhere).toBe(0);
    const leaving = member('drop-newest');
    leaving.offer('11111', '22222');
    leaving.one.leave();
    expect(leaving.at.elsewhere).toBe(0);
    one.leave();
    expect(at.elsewhere).toBe(0);
  });

  it('flushes its connection before more than half of the limit is gathered, and not earlier', () => {
    const { at, output, queue, offer } = member('drop-newest');
    queue.isWriteInFlight = false;
    output.gathered = 5;
    offer('11111');
    expect([at.flushes, at.sent.length]).toEqual([0, 1]);
    output.gathered = 6;
    offer('22222');
    expect([at.flushes, at.sent.length]).toEqual([1, 2]);
  });
});
