import fc from 'fast-check';
import { asyncScheduler } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { idle } from '../../lib/deadline/idle.ts';
import { DeadlineTimer } from '../../lib/time/deadlineTimer.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { iteration } from '../support/clock.ts';
import { marbles } from '../support/marbles.ts';
import { openConnections } from '../support/sockets.ts';

/** Runs a timer on virtual time. At each time `at` its deadline becomes `due`. Returns when the timer expired. */
function run(moves: readonly (readonly [at: number, due: number])[]): { expired: number[]; timers: number } {
  const expired: number[] = [];
  let timers = 0;
  marbles(({ clock, flush }) => {
    const counting = {
      now: () => clock.now(),
      schedule: ((...args: Parameters<typeof clock.schedule>) => {
        timers++;
        return clock.schedule(...args);
      }) as typeof clock.schedule,
    };
    let due = Number.POSITIVE_INFINITY;
    const timer = new DeadlineTimer(counting, {
      due: () => due,
      expire: () => {
        expired.push(clock.now());
        due = Number.POSITIVE_INFINITY;
      },
    });
    for (const [at, next] of moves) {
      clock.schedule(() => {
        due = next;
        timer.set();
      }, at);
    }
    flush();
  })();
  return { expired, timers };
}

describe('DeadlineTimer', () => {
  it('expires at its deadline', () => {
    expect(run([[0, 10]]).expired).toEqual([10]);
  });

  it('expires at once if its deadline has already passed', () => {
    expect(run([[5, 3]]).expired).toEqual([5]);
  });

  it('makes no timer for an infinite deadline', () => {
    expect(run([[0, Number.POSITIVE_INFINITY]])).toEqual({ expired: [], timers: 0 });
  });

  it('expires earlier if its deadline becomes earlier', () => {
    expect(
      run([
        [0, 100],
        [5, 20],
      ]).expired,
    ).toEqual([20]);
  });

  // RxJS's `timeout({ each })` makes a timer per value: ReactiveX/rxjs#2834
  it('makes no timer when its deadline becomes later, but checks it when the first timer fires', () => {
    const moves = Array.from({ length: 1000 }, (_, ms) => [ms, ms + 1000] as const);
    expect(run(moves)).toEqual({ expired: [1999], timers: 2 });
  });

  it('expires neither early nor late, however its deadline moves', () => {
    const move = fc.tuple(
      fc.nat(50),
      fc.oneof({ weight: 4, arbitrary: fc.nat(100) }, fc.constant(Number.POSITIVE_INFINITY)),
    );
    fc.assert(
      fc.property(fc.array(move, { maxLength: 10 }), (all) => {
        // A model that checks each millisecond.
        const moves = [...new Map(all.map(([at, after]) => [at, [at, at + after] as const])).values()].sort(
          ([a], [b]) => a - b,
        );
        const expected: number[] = [];
        let due = Number.POSITIVE_INFINITY;
        for (let now = 0; now <= 200; now++) {
          const next = moves.find(([at]) => at === now);
          // A deadline that passes in the millisecond in which it moves may expire or not, so such a run is skipped.
          if (due <= now && next !== undefined) return fc.pre(false);
          if (next) due = next[1];
          if (due <= now) {
            expected.push(now);
            due = Number.POSITIVE_INFINITY;
          }
        }
        expect(run(moves).expired).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('does not expire after clear, and is armed again by set', () => {
    const expired: number[] = [];
    marbles(({ clock, flush }) => {
      const timer = new DeadlineTimer(clock, { due: () => 10, expire: () => expired.push(clock.now()) });
      timer.set();
      timer.clear();
      flush();
      timer.set();
      flush();
    })();
    expect(expired).toEqual([10]);
  });

  it.each([
    ['Sluice', monotonic],
    ['RxJS', asyncScheduler],
  ])('waits for longer than a timer of Node can, on the clock of %s', async (_of, clock) => {
    // A callback of another spec may be pending, and all wait for the one timer that was made for it, which is not fake.
    await iteration();
    vi.useFakeTimers();
    try {
      const expired: number[] = [];
      const due = clock.now() + 3_000_000_000;
      const timer = new DeadlineTimer(clock, { due: () => due, expire: () => expired.push(clock.now()) });
      timer.set();
      const begun = clock.now();
      // Node replaces a longer delay by one of 1 ms.
      vi.advanceTimersToNextTimer();
      expect(clock.now() - begun).toBe(0x7fffffff);
      vi.advanceTimersByTime(2_900_000_000 - 0x7fffffff);
      expect(expired).toEqual([]);
      vi.advanceTimersByTime(200_000_000);
      expect(expired.length).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});

it('expires within a second on an event loop that has nothing else to do', async () => {
  const begun = monotonic.now();
  const expired = await new Promise<number>((resolve) => {
    let due = begun + 20;
    const timer = new DeadlineTimer(monotonic, {
      due: () => due,
      expire: () => {
        due = Number.POSITIVE_INFINITY;
        resolve(monotonic.now());
      },
    });
    timer.set();
  });
  expect(expired - begun).toBeGreaterThanOrEqual(20);
  expect(expired - begun).toBeLessThan(1000);
});

/** Blocks the event loop for this many milliseconds: no code runs, and nothing is read. */
function freeze(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

// With plain timers, 3 000 of 3 000 peers that had sent in time were closed after a freeze of 5 s.
it('expires after a freeze only for a peer that was silent, not for one whose bytes arrived in time', async () => {
  // Much longer than it takes until all peers have been read from once, even on a busy machine.
  const AFTER = 500;
  let closed: (outcome: unknown) => void = () => undefined;
  const firstClosed = new Promise<unknown>((resolve) => {
    closed = resolve;
  });
  const talked = new Set<string>();
  let greeted = 0;
  let allGreeted: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    allGreeted = resolve;
  });
  const names = ['talks 1', 'talks 2', 'talks 3', 'silent'];
  const server = await openConnections((connection) => {
    let name = '';
    connection.pipe(idle(AFTER)).subscribe({
      next: (chunk) => {
        if (name === '') {
          name = Buffer.from(chunk).toString();
          if (++greeted === names.length) allGreeted();
        } else talked.add(name);
      },
      // All peers are silent in the end. What counts is which of them had been read from when the first one expires.
      error: (error: Error) => closed({ name, error: error.name, talked: [...talked].sort() }),
    });
  });
  const clients = names.map((name) => {
    const client = server.connect();
    client.write(name);
    return client;
  });
  await ready;
  // Written in the same iteration as the freeze: the bytes are in the kernel, unread, when the timers are due.
  for (const client of clients.slice(0, 3)) client.write('!');
  freeze(AFTER + 50);
  expect(await firstClosed).toEqual({ name: 'silent', error: 'DeadlineError', talked: names.slice(0, 3) });
  server.port.close();
  for (const client of clients) client.destroy();
});
