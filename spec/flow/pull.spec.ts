import { of, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { isPullable, type Pullable, pull, type ReplyTarget } from '../../lib/flow/pull.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { watch } from '../support/bytes.ts';

/** A room that is opened and closed by hand. */
class Hall implements ReplyTarget {
  congested = false;
  blocked = false;
  readonly clock = monotonic;
  readonly crashes: unknown[] = [];
  readonly #waiters: (() => void)[] = [];
  crashed(error: unknown): void {
    this.crashes.push(error);
  }
  /** What it was told of the source, without repetitions. */
  readonly heard: boolean[] = [];
  working(is: boolean): void {
    if (this.heard.at(-1) !== is) this.heard.push(is);
  }
  whenRoom(waiter: () => void): void {
    this.#waiters.push(waiter);
  }
  open(): void {
    this.congested = false;
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Counts how often it is asked, and whether it was told to return. */
function counted(sync: boolean, until = Number.POSITIVE_INFINITY) {
  const book = { asked: 0, returned: 0 };
  const values = function* () {
    try {
      while (book.asked < until) yield String(++book.asked);
    } finally {
      book.returned++;
    }
  };
  const later = async function* () {
    yield* values();
  };
  return { book, source: (sync ? values() : later()) as Pullable };
}

describe.each([
  ['a generator', true],
  ['an async generator', false],
])('pull, from %s', (_what, sync) => {
  it('asks while there is room, no more while there is none, and goes on from there', async () => {
    const hall = new Hall();
    const { book, source } = counted(sync, 5);
    const seen: string[] = [];
    let completed = false;
    pull(source, hall).subscribe({
      next: (value) => {
        seen.push(String(value));
        if (value === '3') hall.congested = true;
      },
      complete: () => {
        completed = true;
      },
    });
    await turn();
    expect([seen, book.asked, completed]).toEqual([['1', '2', '3'], 3, false]);
    expect(hall.heard).toEqual([true, false]);
    hall.open();
    await turn();
    expect([seen, completed, book.returned]).toEqual([['1', '2', '3', '4', '5'], true, 1]);
  });

  it('asks for nothing before there is room', async () => {
    const hall = new Hall();
    hall.congested = true;
    const { book, source } = counted(sync, 5);
    const { values } = watch(pull(source, hall));
    await turn();
    expect(book.asked).toBe(0);
    hall.open();
    await turn();
    expect(values.length).toBe(5);
  });

  it('tells it to return when it is unsubscribed, once', async () => {
    const hall = new Hall();
    const { book, source } = counted(sync);
    const subscription = pull(source, hall).subscribe((value) => {
      if (value === '3') hall.congested = true;
    });
    await turn();
    subscription.unsubscribe();
    await turn();
    expect(book).toEqual({ asked: 3, returned: 1 });
    hall.open();
    await turn();
    expect(book.asked).toBe(3);
  });

  it('lets the event loop go on, though it never ends', async () => {
    const { book, source } = counted(sync);
    const subscription = pull(source, new Hall()).subscribe();
    for (let i = 0; i < 5; i++) {
      const before = book.asked;
      await turn();
      await turn();
      expect(book.asked).toBeGreaterThan(before);
    }
    subscription.unsubscribe();
  });

  it('errors with what it throws, and asks no more', async () => {
    const broken = function* () {
      yield 'a';
      throw new Error('broken');
    };
    const later = async function* () {
      yield* broken();
    };
    const seen = watch(pull(sync ? broken() : later(), new Hall()));
    await turn();
    expect(seen).toMatchObject({ values: ['a'], error: { message: 'broken' }, completed: false });
  });

  it('may be unsubscribed by what it does itself, and hears of it', async () => {
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
    const subscription = pull(sync ? own() : later(), new Hall()).subscribe((value) => seen.push(value));
    stop.subscribe(() => subscription?.unsubscribe());
    await turn();
    await turn();
    expect(seen.slice(0, 1)).toEqual(['a']);
    expect(returned).toBe(true);
  });
});

describe('pull, from what is written by hand', () => {
  it('errors with what an async iterator throws at once, also when it had waited for room', async () => {
    const hall = new Hall();
    const thrower: Pullable = {
      [Symbol.asyncIterator]: () => ({
        next() {
          throw new Error('at once');
        },
      }),
    };
    expect(watch(pull(thrower, new Hall())).error).toMatchObject({ message: 'at once' });
    hall.congested = true;
    const seen = watch(pull(thrower, hall));
    hall.open();
    expect(seen.error).toMatchObject({ message: 'at once' });
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
])('isPullable says of %o: %s', (what, is) => {
  expect(isPullable(what)).toBe(is);
});
