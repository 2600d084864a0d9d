import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WaitingRoom } from '../../lib/listen/waitingRoom.ts';
import { Clock } from '../support/clock.ts';

interface Settings {
  max: number;
  timeout: number;
  ahead: number;
}

interface Held {
  id: number;
  until: number;
  forgottenAt: number;
  alive: boolean;
}

/** The waiting room as one would tell it to somebody: lists, and a clock that goes millisecond by millisecond. */
class Model {
  now = 0;
  next = 0;
  open = true;
  /** How many the pipe takes at once when they are handed to it. */
  slots = 0;
  readonly queue: { id: number; until: number }[] = [];
  hand: Held[] = [];
  readonly log: string[] = [];
  readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  get waiting(): number {
    return this.queue.length + this.hand.filter(({ alive }) => alive).length;
  }

  refuse(who: Held | { id: number }, reason: string): void {
    this.log.push(`${who.id} refused: ${reason}`);
    if ('alive' in who) who.alive = false;
  }

  arrive(): void {
    const id = this.next++;
    if (!this.open) return this.refuse({ id }, 'draining');
    this.queue.push({ id, until: this.now + this.settings.timeout });
    this.release();
    if (this.waiting <= this.settings.max) return;
    const held = this.hand.find((one) => one.id === id && one.alive);
    if (held) return this.refuse(held, 'full');
    const waits = this.queue.findIndex((one) => one.id === id);
    if (waits >= 0) for (const one of this.queue.splice(waits, 1)) this.refuse(one, 'full');
  }

  release(): void {
    while (this.open && this.queue.length > 0) {
      const [oldest] = this.hand;
      const forgotten = oldest && !oldest.alive && oldest.forgottenAt <= this.now;
      if (this.hand.length >= this.settings.ahead && forgotten) this.hand.shift();
      if (this.hand.length >= this.settings.ahead) break;
      const first = this.queue.shift();
      if (!first) break;
      this.log.push(`${first.id} handed`);
      if (this.slots > 0) this.slots--;
      else this.hand.push({ ...first, forgottenAt: this.now + this.settings.timeout, alive: true });
    }
  }

  taken(id: number): void {
    const before = this.hand.length;
    this.hand = this.hand.filter((one) => one.id !== id);
    if (this.hand.length < before) this.release();
  }

  leave(id: number): void {
    const at = this.queue.findIndex((one) => one.id === id);
    if (at >= 0) this.queue.splice(at, 1);
    for (const one of this.hand) if (one.id === id) one.alive = false;
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (; this.now <= end; this.now++) {
      for (const one of this.hand) if (one.alive && one.until <= this.now) this.refuse(one, 'timeout');
      while (this.queue[0] && this.queue[0].until <= this.now)
        for (const one of this.queue.splice(0, 1)) this.refuse(one, 'timeout');
      this.release();
    }
    this.now = end;
  }

  close(): void {
    this.open = false;
    for (const one of this.hand) if (one.alive) this.refuse(one, 'draining');
    for (const one of this.queue.splice(0)) this.refuse(one, 'draining');
    this.hand = [];
  }
}

/** The real one, with a pipe in front of it that keeps what it cannot take, as `mergeMap` does. */
class Real {
  readonly clock = new Clock();
  readonly log: string[] = [];
  /** What the pipe was handed and has not come to. */
  readonly buffer: number[] = [];
  slots = 0;
  next = 0;
  readonly demand: WaitingRoom<number>;

  constructor({ max, timeout, ahead }: Settings) {
    this.demand = new WaitingRoom<number>(
      { max, timeout, ahead, clock: this.clock },
      {
        hand: (id) => {
          this.log.push(`${id} handed`);
          if (this.slots > 0) {
            this.slots--;
            this.demand.taken(id);
          } else {
            this.buffer.push(id);
          }
        },
        refuse: (id, reason) => this.log.push(`${id} refused: ${reason}`),
      },
    );
  }
}

/** Cheap while all is well: it is asked a hundred thousand times. */
function agree(model: Model, real: Real): void {
  if (real.log.join() !== model.log.join()) expect(real.log).toEqual(model.log);
  if (real.demand.size !== model.waiting) expect(real.demand.size).toBe(model.waiting);
  if (model.waiting > model.settings.max) expect(model.waiting).toBeLessThanOrEqual(model.settings.max);
}

/** The end of the turn, in which the real one hands out whoever has a place now. */
function endTurn(model: Model, real: Real): void {
  model.advance(0);
  real.clock.jump(0);
}

/** One thing that happens, to both; then they must have said the same. */
class Step implements fc.Command<Model, Real> {
  readonly #name: string;
  readonly #run: (model: Model, real: Real) => void;

  constructor(name: string, run: (model: Model, real: Real) => void) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, real: Real): void {
    this.#run(model, real);
    endTurn(model, real);
    agree(model, real);
  }

  toString(): string {
    return this.#name;
  }
}

const steps = [
  fc.constant(
    new Step('arrive', (model, real) => {
      model.arrive();
      real.demand.arrive(real.next++);
    }),
  ),
  fc.constant(
    new Step('the pipe comes to its oldest', (model, real) => {
      const id = real.buffer.shift();
      if (id === undefined) return;
      model.taken(id);
      real.demand.taken(id);
    }),
  ),
  fc.constant(
    new Step('the pipe forgets its oldest', (_model, real) => {
      real.buffer.shift();
    }),
  ),
  fc.constant(
    new Step('the pipe refuses its oldest', (model, real) => {
      const id = real.buffer.shift();
      if (id === undefined) return;
      model.leave(id);
      model.taken(id);
      real.demand.leave(id, true);
    }),
  ),
  fc.nat(20).map(
    (back) =>
      new Step(`the ${back}th last goes`, (model, real) => {
        model.leave(real.next - 1 - back);
        real.demand.leave(real.next - 1 - back, false);
      }),
  ),
  fc.integer({ min: 1, max: 3 }).map(
    (slots) =>
      new Step(`${slots} slots are free`, (model, real) => {
        // As mergeMap does: first those in its buffer, then what it is handed.
        model.slots = real.slots = slots;
        while (real.slots > 0) {
          const id = real.buffer.shift();
          if (id === undefined) break;
          real.slots--;
          model.slots--;
          model.taken(id);
          real.demand.taken(id);
          endTurn(model, real);
        }
      }),
  ),
  fc.nat(12).map(
    (ms) =>
      new Step(`${ms} ms`, (model, real) => {
        model.advance(ms);
        real.clock.jump(ms);
      }),
  ),
];

const close = fc.constant(
  new Step('close', (model, real) => {
    model.close();
    real.demand.close();
  }),
);

const settings = fc.record({ max: fc.nat(6), timeout: fc.nat(15), ahead: fc.integer({ min: 1, max: 3 }) });

const weighted = fc.oneof(
  ...steps.map((arbitrary, index) => ({ arbitrary: arbitrary as fc.Arbitrary<Step>, weight: index === 0 ? 12 : 4 })),
  { arbitrary: close as fc.Arbitrary<Step>, weight: 1 },
);

it('agrees with a model of lists, whatever happens in whatever order', () => {
  let runs = 0;
  let said = 0;
  fc.assert(
    fc.property(settings, fc.commands([weighted], { maxCommands: 60, size: '+1' }), (chosen, commands) => {
      const model = new Model(chosen);
      const real = new Real(chosen);
      fc.modelRun(() => ({ model, real }), commands);
      // In the end everybody has been handed out or sent away, nobody twice, and the handed ones in their order.
      model.close();
      real.demand.close();
      agree(model, real);
      const handed = real.log.flatMap((line) => (line.endsWith('handed') ? [Number.parseInt(line, 10)] : []));
      expect(handed).toEqual([...handed].sort((a, b) => a - b));
      const refused = real.log.filter((line) => line.includes('refused'));
      expect(new Set(refused.map((line) => Number.parseInt(line, 10))).size).toBe(refused.length);
      real.clock.jump(1000);
      expect(real.clock.actions).toEqual([]);
      runs++;
      said += real.log.length;
    }),
    { numRuns: 4000 },
  );
  // A model that nothing happens in would agree with anything.
  expect(said / runs).toBeGreaterThan(5);
});
