import { getHeapStatistics } from 'node:v8';
import fc from 'fast-check';
import { ignoreElements, map, merge, NEVER, of, Subject, Subscription, tap, timer } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { defaultBudget } from '../../lib/connection/defaultBudget.ts';
import { type Holder, MemoryBudget } from '../../lib/connection/memoryBudget.ts';
import { EvictedError } from '../../lib/errors.ts';
import { broadcast } from '../../lib/flow/broadcast.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { ServeOptions } from '../../lib/serve.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { clockOf, internalsOf } from '../support/internals.ts';
import { talk } from '../support/talk.ts';
import { TestServer } from '../support/testServer.ts';

const MIB = 1024 * 1024;
const NEVER_OVER = Number.POSITIVE_INFINITY;

/** A holder without a connection. */
class FakeHolder implements Holder {
  weight = 0;
  output = 0;
  /** What its peer has taken, in bytes. */
  bytesOut = 0;
  isWriteInFlight = true;
  holdsPartOfFrame = false;
  /** How often `goOn` was called. */
  resumed = 0;
  evicted: EvictedError | undefined;
  readonly clock: Clock;
  readonly #budget: MemoryBudget;

  constructor(budget: MemoryBudget, clock: Clock) {
    this.#budget = budget;
    this.clock = clock;
  }

  get unsent(): number {
    return this.output;
  }

  resume(): void {
    this.resumed++;
  }

  abortWith(error: EvictedError): void {
    expect(this.evicted).toBe(undefined);
    this.evicted = error;
    this.weigh(0, 0);
    this.#budget.forget(this);
  }

  weigh(input: number, output: number): void {
    const before = this.weight;
    const more = output - this.output;
    this.weight = input + output;
    this.output = output;
    this.#budget.change(this, before, more);
  }
}

const holders = (limit: number, count: number) => {
  const budget = new MemoryBudget(limit);
  const clock = new Clock();
  return {
    budget,
    clock,
    all: Array.from({ length: count }, () => new FakeHolder(budget, clock)) as [
      FakeHolder,
      FakeHolder,
      ...FakeHolder[],
    ],
  };
};

describe('a budget', () => {
  it('is short of memory from more than its limit until less than three quarters are held', () => {
    const { budget, all } = holders(100, 1);
    const seen = [100, 101, 76, 75, 74, 100, 101].map((weight) => {
      all[0].weigh(0, weight);
      return budget.isShort;
    });
    expect(seen).toEqual([false, true, true, true, false, false, true]);
  });

  it('is exhausted more than a quarter past its limit', () => {
    const { budget, all } = holders(100, 1);
    all[0].weigh(125, 0);
    expect(budget.isPastHardLimit).toBe(false);
    all[0].weigh(126, 0);
    expect(budget.isPastHardLimit).toBe(true);
  });

  it('blocks work in a shortage only while output holds more than an eighth of the limit', () => {
    const { budget, all } = holders(100, 1);
    const seen = [
      [0, 100],
      [88, 13],
      [89, 12],
      [80, 13],
      [60, 13],
    ].map(([input = 0, output = 0]) => {
      all[0].weigh(input, output);
      return [budget.isShort, budget.isShortOfOutput];
    });
    expect(seen).toEqual([
      [false, false],
      [true, true],
      [true, false],
      [true, true],
      [false, false],
    ]);
  });

  it('resumes holders in the order of waiting, outside of the call that made room, each only while there is room', async () => {
    const { budget, clock, all } = holders(100, 5);
    all[0].weigh(0, 101);
    for (const one of all.slice(1)) budget.wait(one, true);
    const resumes = () => all.map(({ resumed }) => resumed);
    // The second reads so much when it is resumed that the next ones wait longer.
    (all[2] as FakeHolder).resume = function (this: FakeHolder) {
      this.resumed++;
      this.weigh(0, 120);
    };
    all[0].weigh(0, 0);
    expect(resumes()).toEqual([0, 0, 0, 0, 0]);
    await clock.settle();
    expect(resumes()).toEqual([0, 1, 1, 0, 0]);
    all[2]?.weigh(0, 0);
    await clock.settle();
    expect(resumes()).toEqual([0, 1, 1, 1, 1]);
  });

  it('lets what was read be processed while inputs alone exceed the limit, and nothing be read', async () => {
    const { budget, clock, all } = holders(100, 2);
    const [reader, worker] = all;
    reader.weigh(101, 0);
    budget.wait(reader, false);
    budget.wait(worker, true);
    await clock.settle();
    expect([reader.resumed, worker.resumed]).toEqual([0, 1]);
    reader.weigh(74, 0);
    await clock.settle();
    expect([reader.resumed, worker.resumed]).toEqual([1, 1]);
  });

  it('does not resume a holder after `forget`', async () => {
    const { budget, clock, all } = holders(100, 2);
    all[0].weigh(0, 101);
    budget.wait(all[1], true);
    budget.forget(all[1]);
    all[0].weigh(0, 0);
    await clock.settle();
    expect(all[1].resumed).toBe(0);
  });

  const evictions = (all: FakeHolder[]) => all.map(({ evicted }) => evicted !== undefined);

  it.each([
    [126, 1000, 1250],
    [124, 3000, 3250],
  ])('evicts at %i of 100 bytes not before %i ms, and by %i ms', async (weight, before, by) => {
    const { clock, all } = holders(100, 1);
    all[0].weigh(0, weight);
    await clock.advance(before);
    expect(evictions(all)).toEqual([false]);
    await clock.advance(by - before);
    expect(all[0].evicted).toMatchObject({ held: weight, total: weight, limit: 100 });
  });

  it('evicts holders of part of a frame first, then those that take longest, and no more than it needs for room', async () => {
    const { budget, clock, all } = holders(100, 6);
    const [part, still, slow, quick, small, next] = all as [
      FakeHolder,
      FakeHolder,
      FakeHolder,
      FakeHolder,
      FakeHolder,
      FakeHolder,
    ];
    const take = async (ms: number) => {
      for (let i = 0; i < ms / 50; i++) {
        slow.bytesOut += 0.01;
        quick.bytesOut += 5;
        await clock.advance(50);
      }
    };
    part.weigh(20, 0);
    part.holdsPartOfFrame = true;
    still.weigh(0, 30);
    slow.weigh(0, 20);
    quick.weigh(0, 60);
    small.weigh(1, 0);
    next.weigh(0, 0);
    await take(1300);
    // 131 of 100 are held: without the first two 81, and without the third 61.
    expect(evictions(all)).toEqual([true, true, true, false, false, false]);
    expect([budget.total, budget.isShort]).toEqual([61, false]);
  });

  it('evicts no holder whose peer takes its output in time', async () => {
    const { clock, all } = holders(100, 2);
    for (const one of all) one.weigh(0, 100);
    for (let i = 0; i < 80; i++) {
      for (const one of all) {
        one.bytesOut += 2;
        if (one.output > 2) one.weigh(0, one.output - 2);
      }
      await clock.advance(100);
    }
    expect(evictions(all)).toEqual([false, false]);
  });

  it('ends a shortage by evictions when it has lasted for ten seconds, whatever causes it', async () => {
    const { budget, clock, all } = holders(100, 3);
    for (const one of all) {
      one.isWriteInFlight = false;
      one.weigh(20, 20);
    }
    await clock.advance(9900);
    expect(evictions(all)).toEqual([false, false, false]);
    await clock.advance(500);
    expect([budget.isShort, evictions(all).filter(Boolean).length]).toEqual([false, 2]);
  });

  /** Holders that exceed the limit and take nothing, one after the other. Returns the time until each one is evicted. */
  const series = async (pauses: readonly number[], begin = (_one: FakeHolder) => {}) => {
    const { budget, clock } = holders(100, 0);
    const times: number[] = [];
    for (const pause of pauses) {
      await clock.advance(pause);
      const one = new FakeHolder(budget, clock);
      const began = clock.now();
      one.abortWith = function (this: FakeHolder, error) {
        times.push(clock.now() - began);
        FakeHolder.prototype.abortWith.call(this, error);
      };
      if (times.length === 0) begin(one);
      one.weigh(0, 124);
      // In steps, because each pause begins with the eviction before it.
      for (let i = 0; i < 1000 && one.evicted === undefined; i++) await clock.advance(12.5);
    }
    return times;
  };

  it('watches for half as long in each shortage that follows one with an eviction', async () => {
    expect(await series([0, 0, 900, 0])).toEqual([3250, 1500, 750, 500]);
  });

  it('watches in full again after a second of room', async () => {
    expect(await series([0, 0, 1100, 0])).toEqual([3250, 1500, 3250, 1500]);
  });

  it('watches in full again when memory was short for ten seconds in a spell', async () => {
    const begin = (one: FakeHolder) => {
      one.isWriteInFlight = false;
    };
    expect(await series([0, 0, 0], begin)).toEqual([10_250, 3250, 1500]);
  });

  it('spares a peer that reads while peers that never read are evicted one after the other', async () => {
    const { budget, clock, all } = holders(1000, 1);
    const [reader] = all;
    const others: FakeHolder[] = [];
    reader.weigh(0, 600);
    for (let i = 0; i < 70; i++) {
      if (!budget.isShort) {
        const other = new FakeHolder(budget, clock);
        others.push(other);
      }
      others.at(-1)?.weigh(0, 1050 - reader.weight);
      await clock.advance(100);
      if (reader.output === 0) continue;
      reader.bytesOut += 10;
      reader.weigh(0, reader.output - 10);
    }
    expect(reader.evicted).toBe(undefined);
    expect(evictions(others).filter(Boolean).length).toBeGreaterThan(5);
  });

  /** A clock whose timers fire late, by as much as a spec sets. */
  const lateClock = () => {
    let now = 0;
    const due: { at: number; work: () => void }[] = [];
    const clock = {
      now: () => now,
      schedule: (work: () => void, delay = 0) => {
        due.push({ at: now + delay, work });
        return new Subscription();
      },
    } as unknown as Clock;
    const fireAt = (at: number) => {
      now = at;
      for (const { work } of due.splice(0).filter((one) => one.at <= now)) work();
    };
    return { clock, fireAt };
  };

  it('does not count time in which the process did not run against a peer', () => {
    const { clock, fireAt } = lateClock();
    const budget = new MemoryBudget(100);
    const one = new FakeHolder(budget, clock);
    one.weigh(0, 126);
    // Each check comes an hour late.
    for (let check = 1; check <= 4; check++) fireAt(check * 3_600_000);
    expect(one.evicted).toBe(undefined);
    fireAt(5 * 3_600_000);
    expect(one.evicted).toBeInstanceOf(EvictedError);
  });

  it('continues a spell while a holder waits, although the process does not run for a while', () => {
    const { clock, fireAt } = lateClock();
    const budget = new MemoryBudget(100);
    const one = new FakeHolder(budget, clock);
    const [next, last] = [new FakeHolder(budget, clock), new FakeHolder(budget, clock)];
    next.resume = () => next.weigh(0, 124);
    one.weigh(0, 124);
    for (const waiting of [next, last]) budget.wait(waiting, true);
    for (let check = 1; check <= 13; check++) fireAt(check * 250);
    expect(one.evicted).toBeInstanceOf(EvictedError);
    fireAt(60_000);
    for (let check = 1; check <= 5; check++) fireAt(60_000 + check * 250);
    expect([next.weight, next.evicted]).toEqual([124, undefined]);
    fireAt(61_500);
    expect(next.evicted).toBeInstanceOf(EvictedError);
  });

  it('counts every byte, stops and resumes at its limits, resumes each waiting holder, and is never short for long', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('weigh' as const), which: fc.nat(5), input: fc.nat(40), output: fc.nat(40) }),
      fc.record({ do: fc.constant('wait' as const), which: fc.nat(5), ready: fc.boolean() }),
      fc.record({ do: fc.constant('pass' as const), time: fc.nat(3000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { budget, clock, all } = holders(100, 6);
        const waiting = new Map<FakeHolder, boolean>();
        let short = false;
        for (const one of all) {
          one.resume = () => {
            const ready = waiting.get(one);
            expect(ready, 'it waits').not.toBe(undefined);
            expect(ready ? budget.isShortOfOutput : budget.isShort, 'there is room for it').toBe(false);
            waiting.delete(one);
          };
          const abort = one.abortWith.bind(one);
          one.abortWith = (error) => {
            expect(budget.total).toBeGreaterThanOrEqual(75);
            waiting.delete(one);
            abort(error);
            one.evicted = undefined;
          };
        }
        const checkTotals = () => {
          const total = all.reduce((sum, { weight }) => sum + weight, 0);
          if (total > 100) short = true;
          if (total < 75) short = false;
          expect([budget.total, budget.isShort]).toEqual([total, short]);
        };
        for (const one of steps) {
          if (one.do === 'pass') await clock.advance(one.time);
          else if (one.do === 'weigh') all[one.which]?.weigh(one.input, one.output);
          else if (budget.isShort) {
            const holder = all[one.which] as FakeHolder;
            waiting.set(holder, waiting.get(holder) || one.ready);
            budget.wait(holder, one.ready);
          }
          if (one.do === 'pass') short = budget.isShort;
          checkTotals();
        }
        await clock.advance(11_000);
        expect([budget.isShort, waiting.size]).toEqual([false, 0]);
      }),
    );
  });

  it.each([
    ['no constraint', 0, 0],
    ['the constraint that stands for none', 18446744073709552000, 10 * MIB],
  ])('is by default a quarter of the heap limit, with %s', (_, constrained, available) => {
    const memory = { constrainedMemory: () => constrained, availableMemory: () => available };
    expect(defaultBudget(memory)).toBe(Math.floor(getHeapStatistics().heap_size_limit / 4));
  });

  it('is by default a quarter of the heap limit where the process reports no constraint', () => {
    expect(defaultBudget({})).toBe(Math.floor(getHeapStatistics().heap_size_limit / 4));
    expect(defaultBudget({ constrainedMemory: () => 128 * MIB })).toBe(32 * MIB);
  });

  it('is by default a quarter of what is left of the memory of a cgroup', () => {
    const memory = { constrainedMemory: () => 128 * MIB, availableMemory: () => 80 * MIB };
    expect(defaultBudget(memory)).toBe(20 * MIB);
    expect(defaultBudget({ ...memory, availableMemory: () => 128 * MIB })).toBe(32 * MIB);
    expect(defaultBudget({ ...memory, availableMemory: () => 0 })).toBe(MIB);
  });
});

describe('the budget of a server', () => {
  /** What all connections of a server hold together that was written and not sent, in bytes. */
  const unsent = (server: TestServer) =>
    [...(server.log.of('listening')[0]?.connections ?? [])].reduce((sum, one) => sum + one.unsent, 0);
  const NO_DEADLINES = { greeting: NEVER_OVER, idle: NEVER_OVER, stall: NEVER_OVER, frame: NEVER_OVER };

  it.each([
    ['at once', 0],
    ['one each 20 ms', 20],
  ])(
    'begins no request past it, on any connection, when 200 peers request large replies and never read: %s',
    async (_, pause) => {
      let asked = 0;
      const project = () => {
        asked++;
        return 'x'.repeat(8000);
      };
      const server = await TestServer.open(exchange(lines(), project), { budget: 50_000, ...NO_DEADLINES });
      const clients = Array.from({ length: 200 }, () => server.network.connect({ window: 0 }).pause());
      await server.clock.settle();
      for (const client of clients) {
        client.write('more\n');
        if (pause > 0) await server.clock.advance(Math.min(pause, 2900 / 200));
        expect(unsent(server)).toBeLessThanOrEqual(1.2 * 50_000 + 8000);
      }
      await server.clock.settle();
      expect([asked, unsent(server)]).toEqual([7, 56_000]);
      const [first, ...others] = [...(server.log.of('listening')[0]?.connections ?? [])];
      await server.clock.advance(100);
      expect([first?.paused.budget, others.slice(6).filter(({ paused }) => paused.budget >= 100).length]).toEqual([
        0, 193,
      ]);
      for (const { paused } of others.slice(6)) expect([paused.peer, paused.handler]).toEqual([0, 0]);
      // The rest is answered in order as the peers that never read are evicted.
      await server.clock.advance(300_000);
      expect(asked).toBe(200);
      expect(server.log.closes.every((reason) => reason === 'evicted')).toBe(true);
      expect(unsent(server)).toBeLessThanOrEqual(50_000);
    },
  );

  it('counts a farewell that a refused client does not take', async () => {
    const server = await TestServer.open(() => NEVER, {
      budget: 1000,
      concurrency: 1,
      waiting: { max: 0 },
      farewell: 'x'.repeat(5000),
    });
    await server.connect();
    server.network.connect({ window: 0 }).pause();
    await server.clock.settle();
    await server.connect();
    expect(server.log.of('refused').map(({ reason }) => reason)).toEqual(['full', 'budget']);
  });

  it('does not close a connection as idle that it pauses', async () => {
    const project = (line: string) => (line === 'wait' ? NEVER : line === 'much' ? 'x'.repeat(60_000) : line);
    const server = await TestServer.open(exchange(lines(), project, { concurrency: 2, ordered: false }), {
      budget: 50_000,
      ...NO_DEADLINES,
      idle: 1000,
    });
    // It has a request in progress, and so is not idle itself.
    const hog = server.network.connect({ window: 0 }).pause().write('wait\nmuch\n');
    await server.clock.settle();
    const held = await server.connect();
    held.write('a\n');
    await server.clock.advance(2500);
    expect([server.log.closes, held.text]).toEqual([[], '']);
    hog.resume();
    await server.clock.settle();
    expect([server.log.closes, held.text]).toEqual([[], 'a']);
  });

  it('is exceeded by one reply for each request in progress at most', async () => {
    const replies: Subject<string>[] = [];
    const project = () => {
      const reply = new Subject<string>();
      replies.push(reply);
      return reply;
    };
    const server = await TestServer.open(exchange(lines(), project), { budget: 50_000, ...NO_DEADLINES });
    for (let i = 0; i < 20; i++) server.network.connect({ window: 0 }).pause().write('a\nb\n');
    await server.clock.settle();
    for (const reply of [...replies]) {
      reply.next('x'.repeat(8000));
      reply.complete();
    }
    await server.clock.settle();
    // The second request began on all connections, because they were answered in one callback, and replies leave at its end.
    expect([replies.length, unsent(server)]).toEqual([40, 160_000]);
  });

  it('evicts peers that take nothing or single bytes, reports what they held, and accepts new clients', async () => {
    const server = await TestServer.open(
      exchange(lines(), () => 'x'.repeat(500_000)),
      { budget: 1_000_000, maxOutbound: NEVER_OVER, ...NO_DEADLINES },
    );
    const drips = Array.from({ length: 3 }, () => server.network.connect({ window: 1 }).pause());
    for (const client of drips) client.write('more\n');
    await server.clock.settle();
    const late = await server.connect();
    expect(server.log.refusals).toEqual(['budget']);
    for (let i = 0; i < 14; i++) {
      for (const client of drips) client.resume().pause();
      await server.clock.advance(100);
    }
    expect(late.over).toBe(true);
    expect(
      server.log.of('closed').map(({ reason, held, error, unsent }) => [reason, held, error, unsent > 499_980]),
    ).toEqual(Array(2).fill(['evicted', 500_000, expect.any(EvictedError), true]));
    expect(server.log.of('failed')).toEqual([]);
    expect(server.log.counters).toMatchObject({ accepted: 4, active: 1, closed: 2, refused: 1 });
    const next = await server.connect();
    next.write('more\n');
    await server.clock.settle();
    expect(next.text.length).toBe(500_000);
  });

  it.each([
    [10, 'before', 112_500],
    [50, 'before', 112_500],
    [200, 'before', 112_500],
    [10, 'past', 130_000],
    [200, 'past', 130_000],
  ])(
    'answers a client within ten seconds behind %i peers that request too much and never read, %s the hard limit',
    async (count, _, size) => {
      const server = await TestServer.open(
        exchange(lines(), (line) => (line === 'much' ? 'x'.repeat(size) : line)),
        { budget: 100_000, maxOutbound: NEVER_OVER, ...NO_DEADLINES },
      );
      const client = await server.connect();
      const others = Array.from({ length: count }, () => server.network.connect({ window: 0 }).pause());
      await server.clock.settle();
      for (const other of others) other.write('much\n');
      await server.clock.advance(1);
      client.write('hello\n');
      await server.clock.advance(9000);
      expect(client.text).toBe('hello');
      expect(server.log.closes).toEqual(Array(count).fill('evicted'));
      const next = await server.connect();
      next.write('hello\n');
      await server.clock.settle();
      expect(next.text).toBe('hello');
    },
  );

  it('spares peers that read fast enough, although more is held than allowed', async () => {
    const server = await TestServer.open(
      exchange(lines(), () => 'x'.repeat(500_000)),
      { budget: 1_000_000, maxOutbound: NEVER_OVER, ...NO_DEADLINES },
    );
    const readers = Array.from({ length: 3 }, () => server.network.connect({ window: 10_000 }).pause());
    for (const client of readers) client.write('more\n');
    await server.clock.settle();
    for (let i = 0; i < 60; i++) {
      for (const client of readers) client.resume().pause();
      await server.clock.advance(100);
    }
    expect(server.log.closes).toEqual([]);
    expect(readers.map(({ text }) => text.length)).toEqual([500_000, 500_000, 500_000]);
  });

  it('pulls no value from a generator past it, not even for a peer that reads, and pulls again when there is room', async () => {
    let asked = 0;
    const counting = function* () {
      while (asked < 5) {
        asked++;
        yield 'x';
      }
    };
    const server = await TestServer.open(
      exchange(lines(), (line) => (line === 'count' ? counting() : 'x'.repeat(60_000))),
      { budget: 50_000, ...NO_DEADLINES },
    );
    const reader = await server.connect();
    const hog = server.network.connect({ window: 0 }).pause();
    hog.write('much\n');
    await server.clock.settle();
    reader.write('count\n');
    await server.clock.advance(100);
    expect(asked).toBe(0);
    hog.resume();
    await server.clock.settle();
    expect([asked, reader.text]).toEqual([5, 'xxxxx']);
  });

  it('delays the next frame of a loop, and the promise of `write()`, until there is room', async () => {
    const log: string[] = [];
    const loop = async (connection: Connection) => {
      for await (const line of connection.pipe(lines())) {
        log.push(line);
        if (line === 'b') await gate;
        await connection.write(`${line}!`);
        log.push(`${line} is written`);
      }
    };
    const much = async (connection: Connection) => void connection.write('x'.repeat(60_000));
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const server = await TestServer.open((connection) => (connection.id === 1 ? loop(connection) : much(connection)), {
      budget: 50_000,
      ...NO_DEADLINES,
    });
    const looping = await server.connect();
    looping.write('a\nb\nc\n');
    await server.clock.settle();
    const hog = server.network.connect({ window: 0 }).pause();
    await server.clock.settle();
    open();
    await server.clock.advance(100);
    expect(log).toEqual(['a', 'a is written', 'b']);
    expect(looping.text).toBe('a!b!');
    hog.resume();
    await server.clock.settle();
    expect(log.slice(3)).toEqual(['b is written', 'c', 'c is written']);
  });

  it('lets what has been read be processed when inputs alone pass it: no input is stuck, and none is lost', async () => {
    const server = await TestServer.open(
      exchange(lines(), (line, connection) => timer(1, clockOf(connection)).pipe(map(() => line))),
      { budget: 20_000, ...NO_DEADLINES },
    );
    const clients = await server.connectAll(20);
    const sent = Array.from({ length: 400 }, (_, i) => String(i).padStart(4, '0'));
    for (const client of clients) client.write(`${sent.join('\n')}\n`);
    await server.clock.settle();
    const connections = [...(server.log.of('listening')[0]?.connections ?? [])];
    expect(connections.map((connection) => internalsOf(connection).output.memoryIsShort)).toContain(true);
    await server.clock.advance(2000);
    expect(server.log.closes).toEqual([]);
    for (const { text } of clients) expect(text).toBe(sent.join(''));
  });

  it('pauses the input of every connection while inputs alone pass it, each after one more read', async () => {
    const server = await TestServer.open(exchange(lines({ maxLength: 1_000_000 }), String), {
      budget: 20_000,
      ...NO_DEADLINES,
    });
    const clients = await server.connectAll(10);
    const bytesIn = () =>
      [...(server.log.of('listening')[0]?.connections ?? [])].map((connection) => connection.bytesIn);
    const read: number[][] = [];
    for (let round = 1; round <= 6; round++) {
      for (const client of clients) {
        client.write('x'.repeat(1000));
        await server.clock.settle();
      }
      read.push(bytesIn());
    }
    // The first read of the third round passes the budget. After that each connection has one more read.
    expect(read[1]).toEqual(Array(10).fill(2000));
    for (const later of read.slice(3)) expect(later).toEqual([4000, ...Array(9).fill(3000)]);
  });

  describe('that two unfinished frames exceed', () => {
    const halves = async (options: ServeOptions) => {
      const server = await TestServer.open(
        exchange(lines({ maxLength: 1_000_000 }), (line) => `${line.length}\n`),
        { budget: 8000, ...NO_DEADLINES, ...options },
      );
      const [one, other] = (await server.connectAll(2)) as [MemoryClient, MemoryClient];
      for (let i = 0; i < 12; i++) {
        if (i < 9) one.write('x'.repeat(1000));
        other.write('x'.repeat(1000));
        await server.clock.settle();
      }
      return { server, one, other };
    };

    it('closes them by the deadline of a frame', async () => {
      const { server } = await halves({ frame: 1000, linger: 100 });
      await server.clock.advance(1200);
      expect(server.log.closes).toEqual(['frame', 'frame']);
      const next = await server.connect();
      next.write('a\n');
      await server.clock.settle();
      expect(next.text).toBe('1\n');
    });

    it('evicts the larger one where there is no deadline, and resumes the other', async () => {
      const { server, one, other } = await halves({ budget: 14_000 });
      await server.clock.advance(3500);
      expect(server.log.of('closed')).toMatchObject([{ reason: 'evicted', paused: { handler: 0, peer: 0 } }]);
      const left = one.over ? other : one;
      left.write('\n');
      await server.clock.settle();
      expect(left.text).toBe(`${left === one ? 9000 : 12_000}\n`);
    });

    it('evicts the one that holds part of a frame, not the larger one that holds whole frames', async () => {
      const server = await TestServer.open(
        exchange(lines({ maxLength: 1_000_000 }), () => NEVER, { concurrency: 1 }),
        { budget: 14_000, ...NO_DEADLINES },
      );
      const [whole, part] = (await server.connectAll(2)) as [MemoryClient, MemoryClient];
      whole.write(`${'x'.repeat(100)}\n`.repeat(100));
      for (let i = 0; i < 6; i++) part.write('x'.repeat(1000));
      await server.clock.advance(3500);
      expect(server.log.closes).toEqual(['evicted']);
      expect([whole.over, part.over]).toEqual([false, true]);
    });

    it('notices the FIN and the RST of a connection that waits only for the budget', async () => {
      for (const leave of ['end', 'break'] as const) {
        const server = await TestServer.open(exchange(lines({ maxLength: 1_000_000 }), String), {
          budget: 8000,
          ...NO_DEADLINES,
        });
        const client = await server.connect();
        client.write('x'.repeat(9000));
        await server.clock.settle();
        client[leave]();
        await server.clock.settle();
        expect(server.log.closes).toEqual([leave === 'end' ? 'frame-truncated' : 'reset']);
      }
    });
  });

  it('resumes the connections that it paused when there is room again, and loses nothing', async () => {
    const server = await TestServer.open(
      exchange(lines(), (line) => line.repeat(1000)),
      { budget: 20_000, highWaterMark: 10_000, maxOutbound: Number.POSITIVE_INFINITY },
    );
    const clients = await server.connectAll(5);
    for (const client of clients) for (let i = 0; i < 80; i++) client.pause().write(`${i % 10}\n`);
    await server.clock.advance(10);
    for (const client of clients) client.resume();
    await server.clock.advance(10);
    for (const client of clients) client.end();
    await server.clock.advance(10);
    const whole = Array.from({ length: 80 }, (_, i) => String(i % 10).repeat(1000)).join('');
    expect(clients.map(({ text }) => text === whole)).toEqual(Array(5).fill(true));
  });

  it('keeps the order of replies: a request that begins because a reply leaves is answered after that reply', async () => {
    const first = new Subject<string>();
    const project = (line: string) => (line === 'a' ? first : line === 'b' ? of('b'.repeat(1200)) : line);
    const budget = new MemoryBudget(1000);
    const { client, clock } = await talk(exchange(lines(), project, { concurrency: 3 }), { budget });
    client.write('a\nb\n');
    await clock.settle();
    expect(budget.isShort).toBe(true);
    client.write('c\nd\n');
    await clock.settle();
    first.next('a');
    first.complete();
    await clock.settle();
    expect(client.text).toBe(`a${'b'.repeat(1200)}cd`);
    expect(budget.total).toBe(0);
  });

  it('keeps the order of a broadcast: a value of a resumed connection comes after the value that made room for it', async () => {
    const room = broadcast();
    const server = await TestServer.open(
      (connection) =>
        merge(
          connection.pipe(
            lines(),
            tap((line) => room.next(line)),
            ignoreElements(),
          ),
          connection.id === 1 ? room.to(connection) : NEVER,
        ),
      { budget: 1000, highWaterMark: 100 },
    );
    const listener = (await server.connect({ window: 10 })).pause();
    const speaker = await server.connect();
    room.next('x'.repeat(200));
    speaker.write('z'.repeat(600));
    await server.clock.settle();
    room.next('y'.repeat(300));
    speaker.write('\n');
    await server.clock.settle();
    listener.resume();
    await server.clock.settle();
    expect(listener.text.replace(/(.)\1+/g, '$1')).toBe('xyz');
  });
});
