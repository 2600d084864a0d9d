import { Subscription } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { ShardedSubscriber } from '../../lib/shutdown/shardedSubscriber.ts';

function sharded(end: () => void = () => {}) {
  const calls: string[] = [];
  const subscriber = new ShardedSubscriber({
    error: (error) => {
      calls.push(`error ${error}`);
      end();
    },
    complete: () => {
      calls.push('complete');
      end();
    },
  });
  const added = Array.from({ length: 1000 }, () => new Subscription());
  for (const one of added) subscriber.add(one);
  return { subscriber, calls, added };
}

const fail = () => {
  throw new Error('from the observer');
};

describe('a sharded subscriber', () => {
  it('ends all subscriptions that were added when it is unsubscribed', () => {
    const { subscriber, calls, added } = sharded();
    expect(added.some(({ closed }) => closed)).toBe(false);
    subscriber.unsubscribe();
    expect(added.every(({ closed }) => closed)).toBe(true);
    expect(calls).toEqual([]);
  });

  it('ends a subscription at once that is added after its end', () => {
    const { subscriber } = sharded();
    subscriber.complete();
    const late = new Subscription();
    subscriber.add(late);
    expect(late.closed).toBe(true);
  });

  it.each(['error', 'complete'] as const)(
    'is closed by `%s`, after its observer was called, and is called back once',
    (kind) => {
      const { subscriber, calls, added } = sharded(() => {
        expect([subscriber.closed, added.some(({ closed }) => closed)]).toEqual([false, false]);
      });
      subscriber[kind]('x');
      expect([subscriber.closed, added.every(({ closed }) => closed)]).toEqual([true, true]);
      subscriber.error('y');
      subscriber.complete();
      expect(calls).toEqual([kind === 'error' ? 'error x' : 'complete']);
    },
  );

  it.each(['error', 'complete'] as const)(
    'is closed by `%s` although its observer throws, and passes the error on',
    (kind) => {
      const { subscriber, added } = sharded(fail);
      expect(() => subscriber[kind]('x')).toThrow('from the observer');
      expect([subscriber.closed, added.every(({ closed }) => closed)]).toEqual([true, true]);
    },
  );
});
