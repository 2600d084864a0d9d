import { of, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { isPullable, type Pullable, pull, type ReplyTarget } from '../../lib/flow/pull.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { watch } from '../support/bytes.ts';
import { iteration } from '../support/clock.ts';

/** A target whose room is made and taken by hand. */
class FakeTarget implements ReplyTarget {
  congested = false;
  blocked = false;
  readonly clock = monotonic;
  readonly crashes: unknown[] = [];
  readonly #waiters: (() => void)[] = [];
  crashed(error: unknown): void {
    this.crashes.push(error);
  }
  /** The calls of `working`, without repetitions. */
  readonly worked: boolean[] = [];
  working(is: boolean): void {
    if (this.worked.at(-1) !== is) this.worked.push(is);
  }
  whenRoom(waiter: () => void): void {
    this.#waiters.push(waiter);
  }
  makeRoom(): void {
    this.congested = false;
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

/** On a busy machine a source yields after each value, so a few values may take as many iterations. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await iteration();
};

/** A source that counts how many values are pulled from it, and how often it has returned. */
function counted(sync: boolean, until = Number.POSITIVE_INFINITY) {
  const counts = { pulled: 0, returned: 0 };
  const values = function* () {
    try {
      while (counts.pulled < until) yield String(++counts.pulled);
    } finally {
      counts.returned++;
    }
  };
  const later = async function* () {
    yield* values();
  };
  return { counts, source: (sync ? values() : later()) as Pullable };
}

describe.each([
  ['a generator', true],
  ['an async generator', false],
])('pull from %s', (_what, sync) => {
  it('pulls while there is room, stops while there is none, and continues where it stopped', async () => {
    const target = new FakeTarget();
    const { counts, source } = counted(sync, 5);
    const seen: string[] = [];
    let completed = false;
    pull(source, target).subscribe({
      next: (value) => {
        seen.push(String(value));
        if (value === '3') target.congested = true;
      },
      complete: () => {
        completed = true;
      },
    });
    await settle();
    expect([seen, counts.pulled, completed]).toEqual([['1', '2', '3'], 3, false]);
    expect(target.worked).toEqual([true, false]);
    target.makeRoom();
    await settle();
    expect([seen, completed, counts.returned]).toEqual([['1', '2', '3', '4', '5'], true, 1]);
  });

  it('pulls no value before there is room', async () => {
    const target = new FakeTarget();
    target.congested = true;
    const { counts, source } = counted(sync, 5);
    const { values } = watch(pull(source, target));
    await settle();
    expect(counts.pulled).toBe(0);
    target.makeRoom();
    await settle();
    expect(values.length).toBe(5);
  });

  it('calls `return` once when it is unsubscribed', async () => {
    const target = new FakeTarget();
    const { counts, source } = counted(sync);
    const subscription = pull(source, target).subscribe((value) => {
      if (value === '3') target.congested = true;
    });
    await settle();
    subscription.unsubscribe();
    await settle();
    expect(counts).toEqual({ pulled: 3, returned: 1 });
    target.makeRoom();
    await settle();
    expect(counts.pulled).toBe(3);
  });

  it('yields to the event loop although the source never ends', async () => {
    const { counts, source } = counted(sync);
    const subscription = pull(source, new FakeTarget()).subscribe();
    for (let i = 0; i < 5; i++) {
      const before = counts.pulled;
      await iteration();
      await iteration();
      expect(counts.pulled).toBeGreaterThan(before);
    }
    subscription.unsubscribe();
  });

  it('errors with what the source throws, and pulls no more', async () => {
    const broken = function* () {
      yield 'a';
      throw new Error('broken');
    };
    const later = async function* () {
      yield* broken();
    };
    const seen = watch(pull(sync ? broken() : later(), new FakeTarget()));
    await settle();
    expect(seen).toMatchObject({ values: ['a'], error: { message: 'broken' }, completed: false });
  });

  it('calls `return` on a generator that causes its own unsubscription', async () => {
    const stop = new Subject<void>();
    let returned = false;
    const own = function* () {
      try {
        yield 'a';
        stop.next();
        yield 'b';
      } finally {
        returned = true;
      }
    };
    const later = async function* () {
      yield* own();
    };
    const seen: unknown[] = [];
    const subscription = pull(sync ? own() : later(), new FakeTarget()).subscribe((value) => seen.push(value));
    stop.subscribe(() => subscription?.unsubscribe());
    await settle();
    expect(seen.slice(0, 1)).toEqual(['a']);
    expect(returned).toBe(true);
  });
});

describe('pull from a hand-written iterator', () => {
  it('errors with what an async iterator throws synchronously, also after it has waited for room', async () => {
    const target = new FakeTarget();
    const thrower: Pullable = {
      [Symbol.asyncIterator]: () => ({
        next() {
          throw new Error('at once');
        },
      }),
    };
    expect(watch(pull(thrower, new FakeTarget())).error).toMatchObject({ message: 'at once' });
    target.congested = true;
    const seen = watch(pull(thrower, target));
    target.makeRoom();
    expect(seen.error).toMatchObject({ message: 'at once' });
  });

  /** An iterator that yields once, then does what it is given, and counts the calls of `return`. */
  function once(sync: boolean, then: () => IteratorResult<string>) {
    const counts = { returned: 0 };
    let isFirst = true;
    const next = () => {
      if (!isFirst) return then();
      isFirst = false;
      return { done: false, value: 'a' };
    };
    const iterator = {
      next: sync ? next : async () => next(),
      return: () => {
        counts.returned++;
      },
    };
    const key = sync ? Symbol.iterator : Symbol.asyncIterator;
    return { counts, source: { [key]: () => iterator } as unknown as Pullable };
  }

  describe.each([
    ['iterable', true],
    ['async iterable', false],
  ])('of an %s', (_, sync) => {
    it.each<[string, () => IteratorResult<string>]>([
      ['completed', () => ({ done: true, value: undefined })],
      [
        'thrown',
        () => {
          throw new Error('no');
        },
      ],
    ])('does not call `return` when it has %s', async (_how, then) => {
      const { counts, source } = once(sync, then);
      const seen = watch(pull(source, new FakeTarget()));
      await settle();
      expect(seen.values).toEqual(['a']);
      expect(counts.returned).toBe(0);
    });

    it('accepts a `return` that returns nothing, and calls it once', async () => {
      const { counts, source } = once(sync, () => ({ done: false, value: 'b' }));
      const target = new FakeTarget();
      const subscription = pull(source, target).subscribe(() => {
        target.congested = true;
      });
      await settle();
      subscription.unsubscribe();
      target.makeRoom();
      await settle();
      expect(counts.returned).toBe(1);
    });
  });

  it('reports what a source throws that has caused its own unsubscription', async () => {
    const target = new FakeTarget();
    const stop = new Subject<void>();
    const fault = new Error('after the end');
    const { source } = once(true, () => {
      stop.next();
      throw fault;
    });
    const subscription = pull(source, target).subscribe(() => {
      target.congested = true;
    });
    stop.subscribe(() => subscription.unsubscribe());
    target.makeRoom();
    expect(target.crashes).toEqual([fault]);
  });
});

it.each<[unknown, boolean]>([
  [[], true],
  [new Set(), true],
  [(function* () {})(), true],
  [new ReadableStream(), true],
  [of(1), false],
  [Promise.resolve(), false],
  ['text', false],
  [null, false],
  [5, false],
])('isPullable of %o is %s', (what, is) => {
  expect(isPullable(what)).toBe(is);
});
