import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WaitingRoom } from '../../lib/listen/waitingRoom.ts';
import { Clock } from '../support/clock.ts';

interface Settings {
  max: number;
  timeout: number;
  ahead: number;
}

interface HandedOut {
  id: number;
  until: number;
  expiresAt: number;
  alive: boolean;
}

/** The waiting room in its simplest form: lists, and a clock that advances millisecond by millisecond. */
class Model {
  now = 0;
  next = 0;
  open = true;
  /** How many connections the operator takes in the call that hands them out. */
  slots = 0;
  readonly queue: { id: number; until: number }[] = [];
  handedOut: HandedOut[] = [];
  readonly log: string[] = [];
  readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  get waiting(): number {
    return this.queue.length + this.handedOut.filter(({ alive }) => alive).length;
  }

  refuse(item: HandedOut | { id: number }, reason: string): void {
    this.log.push(`${item.id} refused: ${reason}`);
    if ('alive' in item) item.alive = false;
  }

  arrive(): void {
    const id = this.next++;
    if (!this.open) return this.refuse({ id }, 'draining');
    this.queue.push({ id, until: this.now + this.settings.timeout });
    this.release();
    if (this.waiting <= this.settings.max) return;
    const handedOut = this.handedOut.find((one) => one.id === id && one.alive);
    if (handedOut) return this.refuse(handedOut, 'full');
    const waits = this.queue.findIndex((one) => one.id === id);
    if (waits >= 0) for (const one of this.queue.splice(waits, 1)) this.refuse(one, 'full');
  }

  release(): void {
    while (this.open && this.queue.length > 0) {
      const [oldest] = this.handedOut;
      const expired = oldest && !oldest.alive && oldest.expiresAt <= this.now;
      if (this.handedOut.length >= this.settings.ahead && expired) this.handedOut.shift();
      if (this.handedOut.length >= this.settings.ahead) break;
      const first = this.queue.shift();
      if (!first) break;
      this.log.push(`${first.id} handed`);
      if (this.slots > 0) this.slots--;
      else this.handedOut.push({ ...first, expiresAt: this.now + this.settings.timeout, alive: true });
    }
  }

  taken(id: number): void {
    const before = this.handedOut.length;
    this.handedOut = this.handedOut.filter((one) => one.id !== id);
    if (this.handedOut.length < before) this.release();
  }

  leave(id: number): void {
    const at = this.queue.findIndex((one) => one.id === id);
    if (at >= 0) this.queue.splice(at, 1);
    for (const one of this.handedOut) if (one.id === id) one.alive = false;
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (; this.now <= end; this.now++) {
      for (const one of this.handedOut) if (one.alive && one.until <= this.now) this.refuse(one, 'timeout');
      while (this.queue[0] && this.queue[0].until <= this.now)
        for (const one of this.queue.splice(0, 1)) this.refuse(one, 'timeout');
      this.release();
    }
    this.now = end;
  }

  close(): void {
    this.open = false;
    for (const one of this.handedOut) if (one.alive) this.refuse(one, 'draining');
    for (const one of this.queue.splice(0)) this.refuse(one, 'draining');
    this.handedOut = [];
  }
}

/** The real one, with an operator behind it that buffers the connections it cannot take, as `mergeMap` does. */
class Real {
  readonly clock = new Clock();
  readonly log: string[] = [];
  /** Connections that were handed to the operator and that it has not subscribed to. */
  readonly buffer: number[] = [];
  slots = 0;
  next = 0;
  readonly waitingRoom: WaitingRoom<number>;

  constructor({ max, timeout, ahead }: Settings) {
    this.waitingRoom = new WaitingRoom<number>(
      { max, timeout, ahead, clock: this.clock },
      {
        hand: (id) => {
          this.log.push(`${id} handed`);
          if (this.slots > 0) {
            this.slots--;
            this.waitingRoom.taken(id);
          } else {
            this.buffer.push(id);
          }
        },
        refuse: (id, reason) => this.log.push(`${id} refused: ${reason}`),
      },
    );
  }
}

/** Compares both. Cheap where they agree, because it is called a hundred thousand times. */
function agree(model: Model, real: Real): void {
  if (real.log.join() !== model.log.join()) expect(real.log).toEqual(model.log);
  if (real.waitingRoom.size !== model.waiting) expect(real.waitingRoom.size).toBe(model.waiting);
  if (model.waiting > model.settings.max) expect(model.waiting).toBeLessThanOrEqual(model.settings.max);
}

/** The end of the callback: the real one hands out the connections for which there are slots now. */
function endCallback(model: Model, real: Real): void {
  model.advance(0);
  real.clock.jump(0);
}

/** One command, run on both. Afterwards both logs must be equal. */
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
    endCallback(model, real);
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
      real.waitingRoom.arrive(real.next++);
    }),
  ),
  fc.constant(
    new Step('the operator subscribes to its oldest', (model, real) => {
      const id = real.buffer.shift();
      if (id === undefined) return;
      model.taken(id);
      real.waitingRoom.taken(id);
    }),
  ),
  fc.constant(
    new Step('the operator drops its oldest', (_model, real) => {
      real.buffer.shift();
    }),
  ),
  fc.constant(
    new Step('the operator refuses its oldest', (model, real) => {
      const id = real.buffer.shift();
      if (id === undefined) return;
      model.leave(id);
      model.taken(id);
      real.waitingRoom.leave(id, true);
    }),
  ),
  fc.nat(20).map(
    (back) =>
      new Step(`the ${back}th last leaves`, (model, real) => {
        model.leave(real.next - 1 - back);
        real.waitingRoom.leave(real.next - 1 - back, false);
      }),
  ),
  fc.integer({ min: 1, max: 3 }).map(
    (slots) =>
      new Step(`${slots} slots are free`, (model, real) => {
        // As mergeMap does: first the connections in its buffer, then those that are handed out.
        model.slots = real.slots = slots;
        while (real.slots > 0) {
          const id = real.buffer.shift();
          if (id === undefined) break;
          real.slots--;
          model.slots--;
          model.taken(id);
          real.waitingRoom.taken(id);
          endCallback(model, real);
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
    real.waitingRoom.close();
  }),
);

const settings = fc.record({ max: fc.nat(6), timeout: fc.nat(15), ahead: fc.integer({ min: 1, max: 3 }) });

const weighted = fc.oneof(
  ...steps.map((arbitrary, index) => ({ arbitrary: arbitrary as fc.Arbitrary<Step>, weight: index === 0 ? 12 : 4 })),
  { arbitrary: close as fc.Arbitrary<Step>, weight: 1 },
);

it('agrees with a model of lists for any commands in any order', () => {
  let runs = 0;
  let lines = 0;
  fc.assert(
    fc.property(settings, fc.commands([weighted], { maxCommands: 60, size: '+1' }), (chosen, commands) => {
      const model = new Model(chosen);
      const real = new Real(chosen);
      fc.modelRun(() => ({ model, real }), commands);
      // In the end each connection was handed out or refused. None was refused twice, and they were handed out in order.
      model.close();
      real.waitingRoom.close();
      agree(model, real);
      const handed = real.log.flatMap((line) => (line.endsWith('handed') ? [Number.parseInt(line, 10)] : []));
      expect(handed).toEqual([...handed].sort((a, b) => a - b));
      const refused = real.log.filter((line) => line.includes('refused'));
      expect(new Set(refused.map((line) => Number.parseInt(line, 10))).size).toBe(refused.length);
      real.clock.jump(1000);
      expect(real.clock.actions).toEqual([]);
      runs++;
      lines += real.log.length;
    }),
    { numRuns: 4000 },
  );
  // Two logs that are nearly empty would agree as well.
  expect(lines / runs).toBeGreaterThan(5);
});
