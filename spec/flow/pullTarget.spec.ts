import { describe, expect, it } from 'vitest';
import { type Pullable, pull, type ReplyTarget } from '../../lib/flow/pull.ts';
import { Clock } from '../support/clock.ts';

/** A target of values that has room or not. */
class Target implements ReplyTarget {
  congested = false;
  blocked = false;
  readonly clock = new Clock();
  readonly work: boolean[] = [];
  readonly #waiters: (() => void)[] = [];

  whenRoom(waiter: () => void): void {
    this.#waiters.push(waiter);
  }

  crashed(error: unknown): void {
    throw error;
  }

  working(is: boolean): void {
    this.work.push(is);
  }

  makeRoom(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

const sources: [string, () => Pullable][] = [
  [
    'a generator',
    function* () {
      yield 'a';
      yield 'b';
    },
  ],
  [
    'an async generator',
    async function* () {
      yield 'a';
      yield 'b';
    },
  ],
];

describe.each(sources)('%s that is pulled', (_kind, source) => {
  it.each(['congested', 'blocked'] as const)(
    'emits nothing while its target is %s, and continues when there is room',
    async (full) => {
      const target = new Target();
      const values: unknown[] = [];
      target[full] = true;
      pull(source(), target).subscribe((value) => {
        values.push(value);
        target[full] = true;
      });
      await target.clock.settle();
      expect([values, target.work]).toEqual([[], [false]]);
      target[full] = false;
      target.makeRoom();
      await target.clock.settle();
      expect([values, target.work]).toEqual([['a'], [false, true, false]]);
      target[full] = false;
      target.makeRoom();
      await target.clock.settle();
      expect([values, target.work]).toEqual([
        ['a', 'b'],
        [false, true, false, true, false],
      ]);
    },
  );

  it('does not count as working after it was unsubscribed', () => {
    const target = new Target();
    const subscription = pull(source(), target).subscribe();
    subscription.unsubscribe();
    expect(target.work.at(-1)).toBe(false);
  });
});

it.each([Symbol.iterator, Symbol.asyncIterator])(
  'no value is pulled from a source that is unsubscribed when its work begins: %s',
  async (kind) => {
    const target = new Target();
    target.blocked = true;
    let asked = 0;
    const next = () => {
      asked++;
      return { done: true, value: undefined };
    };
    const subscription = pull({ [kind]: () => ({ next }) } as unknown as Pullable, target).subscribe();
    target.working = (is) => {
      if (is) subscription.unsubscribe();
    };
    target.blocked = false;
    target.makeRoom();
    await target.clock.settle();
    expect(asked).toBe(0);
  },
);
