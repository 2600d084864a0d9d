import fc from 'fast-check';
import { ignoreElements, merge, NEVER, of, Subject, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Hold } from '../../lib/connection/blame.ts';
import { broadcast } from '../../lib/flow/broadcast.ts';
import { Budget, defaultBudget, type Holder } from '../../lib/flow/budget.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { House } from '../support/house.ts';
import { talk } from '../support/talk.ts';

class Fat implements Holder {
  weight = 0;
  held = false;
  readonly #budget: Budget;
  constructor(budget: Budget) {
    this.#budget = budget;
  }
  hold(cause: number): void {
    expect([cause, this.held]).toEqual([Hold.budget, false]);
    this.held = true;
  }
  release(cause: number): void {
    expect([cause, this.held]).toEqual([Hold.budget, true]);
    this.held = false;
  }
  weigh(weight: number): void {
    const before = this.weight;
    this.weight = weight;
    this.#budget.change(this, before, weight);
  }
}

const fats = (limit: number, count: number) => {
  const budget = new Budget(limit);
  return { budget, all: Array.from({ length: count }, () => new Fat(budget)) };
};

/** Takes in more as soon as it goes on. */
class Eager extends Fat {
  override release(cause: number): void {
    super.release(cause);
    this.weigh(50);
  }
}

describe('a budget', () => {
  it('can pause one again who was paused when another took in more as he went on', () => {
    const budget = new Budget(100);
    const [eager, fat] = [new Eager(budget), new Fat(budget)];
    eager.weigh(101);
    fat.weigh(102);
    expect([eager.held, fat.held]).toEqual([true, true]);
    fat.weigh(60);
    eager.weigh(10);
    expect(budget.total).toBe(110);
    fat.weigh(500);
    expect(fat.held).toBe(true);
  });

  it('pauses the fattest first, as many as hold what is too much, and lets all go on when three quarters are left', () => {
    const { budget, all } = fats(100, 4);
    const weigh = (...weights: number[]) => {
      for (const [i, weight] of weights.entries()) all[i]?.weigh(weight);
    };
    const held = () => all.map((one) => one.held);
    weigh(10, 40, 20, 30);
    expect([budget.total, budget.passed, held()]).toEqual([100, false, [false, false, false, false]]);
    weigh(12);
    expect([budget.passed, held()]).toEqual([true, [false, true, false, false]]);
    weigh(60);
    expect(held()).toEqual([true, true, false, false]);
    weigh(10, 20);
    expect([budget.total, held()]).toEqual([80, [true, true, false, false]]);
    weigh(4);
    expect([budget.total, held()]).toEqual([74, [false, false, false, false]]);
  });

  it('lets one go on that holds nothing any more, whatever the others hold', () => {
    const { all } = fats(100, 2);
    all[0]?.weigh(60);
    all[1]?.weigh(90);
    expect(all.map(({ held }) => held)).toEqual([false, true]);
    all[0]?.weigh(80);
    all[1]?.weigh(0);
    expect(all.map(({ held }) => held)).toEqual([false, false]);
  });

  it('is exhausted a quarter past its limit', () => {
    const { budget, all } = fats(100, 1);
    all[0]?.weigh(125);
    expect(budget.exhausted).toBe(false);
    all[0]?.weigh(126);
    expect(budget.exhausted).toBe(true);
  });

  it('adds up, holds nobody below three quarters, and those it holds past the limit hold what is too much', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(60)), { maxLength: 100 }), (steps) => {
        const { budget, all } = fats(100, 6);
        for (const [who, weight] of steps) {
          all[who]?.weigh(weight);
          const total = all.reduce((sum, one) => sum + one.weight, 0);
          expect(budget.total).toBe(total);
          if (total < 75) expect(all.some(({ held }) => held)).toBe(false);
          for (const one of all) if (one.weight === 0) expect(one.held).toBe(false);
        }
      }),
    );
  });

  it('is a share of the heap by default', () => {
    expect(defaultBudget()).toBeGreaterThan(100 * 1024 * 1024);
  });
});

describe('the budget of a server', () => {
  const endless = function* () {
    for (;;) yield 'x'.repeat(1000);
  };

  it('bounds what all hold together, refuses past its hard line, says who is to blame, and ends with nothing held', async () => {
    const house = await House.open(
      exchange(lines(), (line) => (line === 'endless' ? endless() : line)),
      { budget: 100_000, highWaterMark: 50_000, stall: 1000, greeting: 10_000 },
    );
    const clients = await house.connectAll(40);
    for (const client of clients) client.pause().write('endless\n');
    await house.clock.advance(100);
    const listening = house.log.of('listening')[0];
    const unsent = [...(listening?.connections ?? [])].reduce((sum, one) => sum + one.unsent, 0);
    // Without a budget each would have more than the mark, and all together two million.
    expect(unsent).toBeLessThan(125_000);
    await house.connect();
    expect(house.log.refusals).toEqual(['budget']);
    await house.clock.advance(2000);
    expect(house.log.closes).toEqual(Array(40).fill('stall'));
    expect(house.log.of('closed').map(({ reason }) => reason)).toEqual(Array(40).fill('slow-consumer'));
    expect(Math.max(...house.log.of('closed').map(({ paused }) => paused.budget))).toBeGreaterThan(500);
    const late = await house.connect();
    late.write('a\n').end();
    await house.clock.settle();
    expect(late.text).toBe('a');
  });

  it('lets those go on that it paused, when there is room again, with nothing lost', async () => {
    const house = await House.open(
      exchange(lines(), (line) => line.repeat(1000)),
      { budget: 20_000, highWaterMark: 10_000, maxOutbound: Number.POSITIVE_INFINITY },
    );
    const clients = await house.connectAll(5);
    for (const client of clients) for (let i = 0; i < 80; i++) client.pause().write(`${i % 10}\n`);
    await house.clock.advance(10);
    for (const client of clients) client.resume();
    await house.clock.advance(10);
    for (const client of clients) client.end();
    await house.clock.advance(10);
    const whole = Array.from({ length: 80 }, (_, i) => String(i % 10).repeat(1000)).join('');
    expect(clients.map(({ text }) => text === whole)).toEqual(Array(5).fill(true));
  });

  it('changes no order of replies: who goes on because one leaves comes behind it', async () => {
    const first = new Subject<string>();
    const project = (line: string) => (line === 'a' ? first : line === 'b' ? of('b'.repeat(1200)) : line);
    const budget = new Budget(1000);
    const { client, clock } = await talk(exchange(lines(), project, { concurrency: 3 }), { budget });
    client.write('a\nb\n');
    await clock.settle();
    expect(budget.passed).toBe(true);
    client.write('c\nd\n');
    await clock.settle();
    first.next('a');
    first.complete();
    await clock.settle();
    expect(client.text).toBe(`a${'b'.repeat(1200)}cd`);
    expect(budget.total).toBe(0);
  });

  it('changes no order of a broadcast: what one says who goes on comes behind what made room for him', async () => {
    const room = broadcast();
    const house = await House.open(
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
    const listener = (await house.connect({ window: 10 })).pause();
    const speaker = await house.connect();
    room.next('x'.repeat(200));
    speaker.write('z'.repeat(600));
    await house.clock.settle();
    room.next('y'.repeat(300));
    speaker.write('\n');
    await house.clock.settle();
    listener.resume();
    await house.clock.settle();
    expect(listener.text.replace(/(.)\1+/g, '$1')).toBe('xyz');
  });
});
