import fc from 'fast-check';
import { expect, it } from 'vitest';
import { orders } from '../../lib/listen/handOutOrder.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { type Settings, World } from './overflowWorld.ts';

const INFINITY = Number.POSITIVE_INFINITY;

class Step implements fc.AsyncCommand<object, World> {
  readonly #name: string;
  readonly #run: (world: World) => void;
  readonly #ms: number;

  constructor(name: string, run: (world: World) => void, ms = 0) {
    this.#name = name;
    this.#run = run;
    this.#ms = ms;
  }

  check(): boolean {
    return true;
  }

  async run(_model: object, world: World): Promise<void> {
    const before = world.before();
    this.#run(world);
    await world.server.clock.advance(this.#ms);
    world.laws(before, this.#ms);
  }

  toString(): string {
    return this.#name;
  }
}

const one = (name: string, run: (client: MemoryClient) => void) =>
  fc.nat(11).map(
    (back) =>
      new Step(`the ${back}th last ${name}`, ({ peers }) => {
        const peer = peers.at(-1 - back);
        if (peer) run(peer.client);
      }),
  );

const change = (name: 'concurrency' | 'max' | 'perAddress' | 'perSecond', values: fc.Arbitrary<number>) =>
  values.map((value) => new Step(`${name}: ${value}`, (world) => world[name].next(value)));

const steps: fc.WeightedArbitrary<Step>[] = [
  {
    weight: 12,
    arbitrary: fc
      .tuple(fc.constantFrom('10.0.0.1', '10.0.0.2', '2001:db8::1'), fc.integer({ min: 1, max: 3 }), fc.boolean())
      .map(
        ([address, count, allowHalfOpen]) =>
          new Step(`${count} of ${address} connect${allowHalfOpen ? ', half-open' : ''}`, (world) => {
            for (let i = 0; i < count; i++) world.connect(address, allowHalfOpen);
          }),
      ),
  },
  { weight: 3, arbitrary: one('sends a line that is answered at once', (client) => client.write('now\n')) },
  { weight: 6, arbitrary: one('sends a line that is answered on command', (client) => client.write('later\n')) },
  { weight: 4, arbitrary: fc.constant(new Step('reply', ({ replies }) => replies.next())) },
  { weight: 3, arbitrary: one('sends a FIN', (client) => client.end()) },
  { weight: 3, arbitrary: one('resets', (client) => client.break()) },
  { weight: 5, arbitrary: fc.nat(150).map((ms) => new Step(`${ms} ms`, () => {}, ms)) },
  { weight: 2, arbitrary: change('concurrency', fc.integer({ min: 1, max: 5 })) },
  { weight: 2, arbitrary: change('max', fc.nat(5)) },
  { weight: 2, arbitrary: change('perAddress', fc.constantFrom(1, 2, 3, 5, INFINITY)) },
  { weight: 1, arbitrary: change('perSecond', fc.constantFrom(0, 1, 20, INFINITY, INFINITY)) },
];

const settings: fc.Arbitrary<Settings> = fc.record({
  overflow: fc.constantFrom('refuse', 'park', 'evict'),
  order: fc.constantFrom(...orders),
  isLive: fc.boolean(),
  timeout: fc.constantFrom(200, INFINITY),
  concurrency: fc.integer({ min: 1, max: 4 }),
  max: fc.nat(4),
  perAddress: fc.constantFrom(1, 3, 5, INFINITY),
});

/** Ends the clients that are served, until none is left: all others are served by then. */
async function serveAll(world: World): Promise<void> {
  for (let rounds = 0; world.count('active') > 0; rounds++) {
    expect(rounds).toBeLessThan(200);
    const before = world.before();
    world.replies.next();
    for (const { client, state } of world.peers) if (state === 'active') client.end();
    await world.server.clock.settle();
    world.laws(before);
  }
  const left = world.peers.filter(({ state }) => state === 'connecting' || state === 'waiting');
  expect(left).toEqual([]);
}

it('a server keeps its limits for any commands of its clients, and however its limits change', async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      settings,
      fc.commands([fc.oneof(...steps)], { maxCommands: 40, size: '+1' }),
      fc.boolean(),
      async (chosen, commands, servesAll) => {
        const world = new World(chosen, seen);
        const { clock, log, network } = world.server;
        await clock.settle();
        await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
        if (servesAll) await serveAll(world);
        const before = world.before();
        world.isOver = true;
        await world.server.signal();
        await clock.advance(10_200);
        world.laws(before, 10_200);
        expect(log.completed).toBe(true);
        expect(world.peers.map(({ state }) => state).filter((state) => !/closed|refused/.test(state))).toEqual([]);
        expect(log.counters).toMatchObject({ accepted: world.peers.length, waiting: 0, active: 0 });
        expect(network.sockets.size).toBe(0);
        expect(clock.actions).toEqual([]);
      },
    ),
    { numRuns: 1000 },
  );
  // Otherwise the laws might hold only because these never happen.
  for (const what of ['full', 'timeout', 'draining', 'per-address', 'rate', 'parked', 'evicted', 'ended', 'reset'])
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(10);
});
