import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { WaitingOrder } from '../../lib/listen/handOutOrder.ts';
import { Model, Real } from './waitingRoomModel.ts';

/** Compares both. Cheap where they agree, because it is called a hundred thousand times. */
function agree(model: Model, real: Real): void {
  if (real.log.length !== model.log.length || real.log.at(-1) !== model.log.at(-1)) expect(real.log).toEqual(model.log);
  if (real.waitingRoom.size !== model.waiting) expect(real.waitingRoom.size).toBe(model.waiting);
  if (real.waitingRoom.yielding !== model.yielding.length)
    expect(real.waitingRoom.yielding).toBe(model.yielding.length);
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
  fc.oneof(fc.nat(12), fc.nat(60)).map(
    (ms) =>
      new Step(`${ms} ms`, (model, real) => {
        model.advance(ms);
        real.clock.jump(ms);
      }),
  ),
  fc.nat(5).map(
    (back) =>
      new Step(`the peer of the ${back}th last leaves`, (model, real) => {
        for (const one of [model, real]) one.abandoned.add(real.next - 1 - back);
      }),
  ),
  fc.boolean().map(
    (hasPlace) =>
      new Step(hasPlace ? 'places are free' : 'no place is free', (model, real) => {
        model.hasPlace = real.hasPlace = hasPlace;
        real.waitingRoom.update();
      }),
  ),
  fc.nat(4).map(
    (every) =>
      new Step(`one in ${every} gives way`, (model, real) => {
        if (model.settings.every > 0) model.every = real.every = every;
        real.waitingRoom.update(true);
      }),
  ),
  fc.tuple(fc.nat(6), fc.nat(400)).map(
    ([max, timeout]) =>
      new Step(`max ${max}, timeout ${timeout}`, (model, real) => {
        for (const one of [model, real]) Object.assign(one.settings, { max, timeout });
        real.waitingRoom.update();
      }),
  ),
];

const close = fc.constant(
  new Step('close', (model, real) => {
    model.close();
    real.waitingRoom.close();
  }),
);

const settings = fc
  .record({
    max: fc.nat(6),
    timeout: fc.oneof(fc.nat(15), fc.nat(400)),
    ahead: fc.integer({ min: 1, max: 3 }),
    order: fc.constantFrom<WaitingOrder[]>('fifo', 'newest', 'adaptive'),
    every: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3 })),
  })
  // Only `serve` has peers that give way, and it hands out one connection at a time.
  .map((chosen) => (chosen.every > 0 ? { ...chosen, ahead: 1 } : chosen));

const weighted = fc.oneof(
  ...steps.map((arbitrary, index) => ({
    arbitrary: arbitrary as fc.Arbitrary<Step>,
    weight: index === 0 ? 12 : index < 7 ? 4 : 2,
  })),
  { arbitrary: close as fc.Arbitrary<Step>, weight: 1 },
);

it('agrees with a model of lists for any commands in any order', () => {
  let runs = 0;
  let lines = 0;
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(settings, fc.commands([weighted], { maxCommands: 60, size: '+1' }), (chosen, commands) => {
      const model = new Model({ ...chosen });
      const real = new Real({ ...chosen });
      fc.modelRun(() => ({ model, real }), commands);
      // In the end each connection was handed out, refused or abandoned. None was refused twice.
      model.close();
      real.waitingRoom.close();
      agree(model, real);
      expect(real.log).toEqual(model.log);
      const handed = real.log.flatMap((line) => (line.endsWith('handed') ? [Number.parseInt(line, 10)] : []));
      const inOrder = handed.every((id, index) => index === 0 || id > (handed[index - 1] ?? 0));
      if (chosen.order === 'fifo' && chosen.every === 0) expect(inOrder).toBe(true);
      const refused = real.log.filter((line) => line.includes('refused'));
      expect(new Set(refused.map((line) => Number.parseInt(line, 10))).size).toBe(refused.length);
      real.clock.jump(1000);
      expect(real.clock.actions).toEqual([]);
      runs++;
      lines += real.log.length;
      for (const line of refused) {
        const reason = line.slice(line.indexOf(':') + 2);
        seen.set(reason, (seen.get(reason) ?? 0) + 1);
      }
      if (!inOrder) seen.set(chosen.order, (seen.get(chosen.order) ?? 0) + 1);
    }),
    { numRuns: 4000 },
  );
  // Two logs that are nearly empty would agree as well.
  expect(lines / runs).toBeGreaterThan(5);
  for (const what of ['full', 'timeout', 'full, yielded', 'timeout, yielded', 'fifo', 'newest', 'adaptive'])
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(2);
});

it('does not look at the wait when a connection that gives way is refused instead', () => {
  const chosen = { max: 1, timeout: 101, ahead: 1, order: 'adaptive' as const, every: 2 };
  const [model, real] = [new Model({ ...chosen }), new Real({ ...chosen })];
  const step = (run: (one: Model | Real) => void, then = (_room: Real['waitingRoom']) => {}) => {
    for (const one of [model, real]) run(one);
    then(real.waitingRoom);
    endCallback(model, real);
    agree(model, real);
  };
  const arrive = () =>
    step(
      () => {},
      (room) => {
        model.arrive();
        room.arrive(real.next++);
      },
    );
  const wait = (ms: number) => step((one) => (one === model ? model.advance(ms) : real.clock.jump(ms)));
  arrive();
  step(
    (one) => {
      one.hasPlace = false;
    },
    (room) => room.update(),
  );
  arrive();
  step(
    (one) => {
      one.every = 3;
    },
    (room) => room.update(true),
  );
  wait(100);
  arrive();
  arrive();
  wait(5);
  arrive();
  expect(real.log.at(-1)).toBe('2 refused: full');
});
