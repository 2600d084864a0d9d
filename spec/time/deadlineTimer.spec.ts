import fc from 'fast-check';
import { asyncScheduler } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { idle } from '../../lib/deadline/idle.ts';
import { DeadlineTimer } from '../../lib/time/deadlineTimer.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { marbles } from '../support/marbles.ts';
import { openConnections } from '../support/sockets.ts';

/** Runs an alarm on virtual time: `moves` says when something is due from which moment on. Returns when it rang. */
function rings(moves: readonly (readonly [at: number, due: number])[]): { rang: number[]; timers: number } {
  const rang: number[] = [];
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
    const alarm = new DeadlineTimer(counting, {
      due: () => due,
      expire: () => {
        rang.push(clock.now());
        due = Number.POSITIVE_INFINITY;
      },
    });
    for (const [at, next] of moves) {
      clock.schedule(() => {
        due = next;
        alarm.set();
      }, at);
    }
    flush();
  })();
  return { rang, timers };
}

describe('Alarm', () => {
  it('rings when it is due', () => {
    expect(rings([[0, 10]]).rang).toEqual([10]);
  });

  it('rings at once for what is due already', () => {
    expect(rings([[5, 3]]).rang).toEqual([5]);
  });

  it('never rings for what never is', () => {
    expect(rings([[0, Number.POSITIVE_INFINITY]])).toEqual({ rang: [], timers: 0 });
  });

  it('rings earlier when it is told that something nearer is due', () => {
    expect(
      rings([
        [0, 100],
        [5, 20],
      ]).rang,
    ).toEqual([20]);
  });

  it('makes no timer for what is put off: it looks again when it goes off [E10]', () => {
    const moves = Array.from({ length: 1000 }, (_, ms) => [ms, ms + 1000] as const);
    expect(rings(moves)).toEqual({ rang: [1999], timers: 2 });
  });

  it('rings neither early nor late, whatever is put off or brought forward', () => {
    const move = fc.tuple(
      fc.nat(50),
      fc.oneof({ weight: 4, arbitrary: fc.nat(100) }, fc.constant(Number.POSITIVE_INFINITY)),
    );
    fc.assert(
      fc.property(fc.array(move, { maxLength: 10 }), (all) => {
        // A model that looks at every millisecond.
        const moves = [...new Map(all.map(([at, after]) => [at, [at, at + after] as const])).values()].sort(
          ([a], [b]) => a - b,
        );
        const expected: number[] = [];
        let due = Number.POSITIVE_INFINITY;
        for (let now = 0; now <= 200; now++) {
          const next = moves.find(([at]) => at === now);
          // What is due in the same millisecond in which it is moved may have rung or not: keep clear of it.
          if (due <= now && next !== undefined) return fc.pre(false);
          if (next) due = next[1];
          if (due <= now) {
            expected.push(now);
            due = Number.POSITIVE_INFINITY;
          }
        }
        expect(rings(moves).rang).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('is silent once it is cleared, and begins anew when it is set', () => {
    const rang: number[] = [];
    marbles(({ clock, flush }) => {
      const alarm = new DeadlineTimer(clock, { due: () => 10, expire: () => rang.push(clock.now()) });
      alarm.set();
      alarm.clear();
      flush();
      alarm.set();
      flush();
    })();
    expect(rang).toEqual([10]);
  });

  it.each([
    ['ours', monotonic],
    ["RxJS's", asyncScheduler],
  ])('waits for longer than a timer of Node can hold, on a clock of %s', (_whose, clock) => {
    vi.useFakeTimers();
    try {
      const rang: number[] = [];
      const due = clock.now() + 3_000_000_000;
      const alarm = new DeadlineTimer(clock, { due: () => due, expire: () => rang.push(clock.now()) });
      alarm.set();
      const begun = clock.now();
      // Node makes a millisecond of more.
      vi.advanceTimersToNextTimer();
      expect(clock.now() - begun).toBe(0x7fffffff);
      vi.advanceTimersByTime(2_900_000_000 - 0x7fffffff);
      expect(rang).toEqual([]);
      vi.advanceTimersByTime(200_000_000);
      expect(rang.length).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});

it('rings within a second on a loop that has nothing else to do', async () => {
  const begun = monotonic.now();
  const rang = await new Promise<number>((resolve) => {
    let due = begun + 20;
    const alarm = new DeadlineTimer(monotonic, {
      due: () => due,
      expire: () => {
        due = Number.POSITIVE_INFINITY;
        resolve(monotonic.now());
      },
    });
    alarm.set();
  });
  expect(rang - begun).toBeGreaterThanOrEqual(20);
  expect(rang - begun).toBeLessThan(1000);
});

/** Lets no code run, and nothing be read, for so many milliseconds. */
function freeze(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

it('closes nobody whose bytes came in time but could not be read, as the process was frozen; and does close who is silent [E21]', async () => {
  // Much more than it takes until all have been heard of once, on a busy machine, too.
  const AFTER = 500;
  let closed: (how: unknown) => void = () => undefined;
  const firstClosed = new Promise<unknown>((resolve) => {
    closed = resolve;
  });
  const said = new Map<string, number>();
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
        } else said.set(name, (said.get(name) ?? 0) + 1);
      },
      // The talkers fall silent later: what counts is who had spoken when the first is closed.
      error: (error: Error) => closed({ name, error: error.name, said: [...said.keys()].sort() }),
    });
  });
  const clients = names.map((name) => {
    const client = server.connect();
    client.write(name);
    return client;
  });
  await ready;
  // Written before the freeze, in the same turn: the kernel has it, and nobody has read it when the timers are due.
  for (const client of clients.slice(0, 3)) client.write('!');
  freeze(AFTER + 50);
  expect(await firstClosed).toEqual({ name: 'silent', error: 'DeadlineError', said: names.slice(0, 3) });
  server.port.close();
  for (const client of clients) client.destroy();
});
