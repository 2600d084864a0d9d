import fc from 'fast-check';
import { concatMap, finalize, map, of, Subject, take } from 'rxjs';
import { expect, it } from 'vitest';
import { lines } from '../../lib/framing/lines.ts';
import type { Connection } from '../../lib/index.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { TestServer } from '../support/testServer.ts';

/**
 * A server whose handlers reply on command, its clients, and the history that the laws refer to: whether handlers run, and when
 * the signals came.
 */
interface World {
  readonly server: TestServer;
  readonly clients: MemoryClient[];
  readonly replies: Subject<void>;
  readonly settings: Settings;
  /** Handlers that run, and the most that ever ran at a time. */
  running: number;
  most: number;
  /** Lines that handlers received after the stream had completed. */
  late: number;
  signalled: number | undefined;
  signals: number;
}

interface Settings {
  concurrency: number;
  max: number;
  timeout: number;
  grace: number;
  announce: number;
  linger: number;
  spread: number;
}

const build = async (settings: Settings): Promise<World> => {
  const replies = new Subject<void>();
  const { max, timeout, ...options } = settings;
  const handler = (connection: Connection) => {
    world.running++;
    world.most = Math.max(world.most, world.running);
    if (world.server?.log.completed) world.late++;
    return connection.pipe(
      lines(),
      concatMap((line) => {
        if (world.server.log.completed) world.late++;
        // A line of even length is answered at once, any other on command.
        return line.length % 2 === 0
          ? of(`${line}\n`)
          : replies.pipe(
              take(1),
              map(() => `${line}\n`),
            );
      }),
      finalize(() => world.running--),
    );
  };
  const world = {
    clients: [] as MemoryClient[],
    replies,
    settings,
    running: 0,
    most: 0,
    late: 0,
    signals: 0,
  } as unknown as World;
  const server = await TestServer.open(handler, {
    ...options,
    waiting: { max, timeout },
    idle: 500,
    greeting: 300,
    frame: 200,
    stall: 250,
    lastCall: () => 'bye\n',
  });
  return Object.assign(world, { server, signalled: undefined });
};

/** What holds at any moment. The log itself checks that the counters add up and that no connection ends twice. */
function laws({ server: { log, clock, network }, running, most, late, signalled, settings, signals }: World): void {
  const { accepted, waiting, active, closed, refused } = log.counters;
  const ok =
    waiting + active + closed + refused === accepted &&
    closed === log.of('closed').length &&
    refused === log.of('refused').length &&
    active <= settings.concurrency &&
    most <= settings.concurrency &&
    waiting <= settings.max &&
    running <= active &&
    late === 0;
  if (!ok) expect({ counters: log.counters, running, most, late, settings, events: log.types }).toBe('lawful');
  if (signalled === undefined) return;
  if (clock.now() > signalled + settings.announce) {
    expect(network.listening).toBe(false);
    expect(waiting).toBe(0);
  }
  if (signals > 1 || clock.now() > signalled + settings.announce + settings.grace + 100)
    expect(log.completed).toBe(true);
  if (log.completed) expect(running).toBe(0);
}

class Step implements fc.AsyncCommand<object, World> {
  readonly #name: string;
  readonly #run: (world: World) => void;

  constructor(name: string, run: (world: World) => void) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  async run(_model: object, world: World): Promise<void> {
    this.#run(world);
    await world.server.clock.settle();
    laws(world);
  }

  toString(): string {
    return this.#name;
  }
}

class Pause extends Step {
  readonly #ms: number;
  constructor(ms: number) {
    super(`${ms} ms`, () => {});
    this.#ms = ms;
  }
  override async run(model: object, world: World): Promise<void> {
    await world.server.clock.advance(this.#ms);
    await super.run(model, world);
  }
}

const anyClient = fc.nat(9);
const one = (name: string, run: (client: MemoryClient) => void) =>
  anyClient.map(
    (index) =>
      new Step(`${index} ${name}`, ({ clients }) => {
        const client = clients.at(-1 - index);
        if (client) run(client);
      }),
  );

const steps: fc.WeightedArbitrary<Step>[] = [
  {
    weight: 10,
    arbitrary: fc.constantFrom(undefined, 3).map(
      (window) =>
        new Step(`arrive ${window ?? ''}`, ({ server, clients }) => {
          // The port is the place among the clients.
          const address = { address: '127.0.0.1', port: clients.length + 1 };
          clients.push(server.network.connect(window === undefined ? { address } : { address, window }));
        }),
    ),
  },
  { weight: 4, arbitrary: one('sends a line that is answered at once', (client) => client.write('ab\n')) },
  { weight: 4, arbitrary: one('sends a line that is answered on command', (client) => client.write('abc\n')) },
  { weight: 2, arbitrary: one('sends the begin of a line', (client) => client.write('a')) },
  { weight: 3, arbitrary: one('sends a FIN', (client) => client.end()) },
  { weight: 3, arbitrary: one('resets', (client) => client.break()) },
  { weight: 1, arbitrary: one('stops reading', (client) => client.pause()) },
  { weight: 1, arbitrary: one('reads again', (client) => client.resume()) },
  { weight: 4, arbitrary: fc.constant(new Step('reply', ({ replies }) => replies.next())) },
  { weight: 8, arbitrary: fc.nat(150).map((ms) => new Pause(ms)) },
  {
    weight: 2,
    arbitrary: fc.constant(
      new Step('signal', (world) => {
        if (world.server.log.completed) return;
        world.signalled ??= world.server.clock.now();
        world.signals++;
        world.server.shutdown.next('SIGTERM');
      }),
    ),
  },
];

const settings = fc.record({
  concurrency: fc.integer({ min: 1, max: 3 }),
  max: fc.nat(4),
  timeout: fc.nat(200),
  grace: fc.nat(400),
  announce: fc.constantFrom(0, 0, 50),
  linger: fc.nat(100),
  spread: fc.constantFrom(0, 0, 30, 500),
});

it('a server keeps its laws for any commands of its clients, and whenever the signals come', async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      settings,
      fc.commands([fc.oneof(...steps)], { maxCommands: 40, size: '+1' }),
      async (chosen, commands) => {
        const world = await build(chosen);
        await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
        const { server, clients } = world;
        // After any commands, a signal ends the server.
        if (world.signalled === undefined) {
          world.signalled = server.clock.now();
          server.shutdown.next('SIGTERM');
        }
        await server.clock.advance(chosen.announce + chosen.grace + 101);
        laws(world);
        const { log, network, clock } = server;
        expect(log.completed).toBe(true);
        expect(log.counters).toMatchObject({ waiting: 0, active: 0 });
        expect(log.of('opened')).toHaveLength(log.of('closed').length);
        const { drained, aborted, refused, unsent } = log.report;
        const after = log.events.slice(log.types.indexOf('draining'));
        const ended = after.filter((event) => event.type === 'closed');
        expect(drained + aborted).toBe(ended.length);
        expect(aborted).toBe(ended.filter(({ reason }) => reason === 'aborted').length);
        expect(refused).toBe(after.filter(({ type }) => type === 'refused').length);
        expect(unsent).toBe(ended.reduce((sum, event) => sum + event.unsent, 0));
        // These close reasons promise that all output has left.
        for (const { reason, unsent: left } of log.of('closed'))
          if (reason === 'drained' || reason === 'completed' || reason === 'ended') expect(left).toBe(0);
        // The last call is behind all replies, and each connection has it that has finished as it was asked to.
        for (const { text } of clients) expect([-1, text.length - 4]).toContain(text.indexOf('bye\n'));
        for (const { reason, peer } of log.of('closed')) {
          const { text = '', ended = false } = clients[(peer.port ?? 0) - 1] ?? {};
          if (reason === 'drained' && ended) expect(text.endsWith('bye\n')).toBe(true);
          if (reason === 'ended' || reason === 'completed' || reason === 'failed') expect(text).not.toContain('bye');
        }
        expect(log.events.at(-1)?.type).toBe('drained');
        await clock.advance(1000);
        expect(network.sockets.size).toBe(0);
        expect(clock.actions).toEqual([]);
        expect(clients.length).toBeGreaterThanOrEqual(log.counters.accepted);
        for (const { type } of log.events) seen.set(type, (seen.get(type) ?? 0) + 1);
        for (const reason of [...log.refusals, ...log.closes]) seen.set(reason, (seen.get(reason) ?? 0) + 1);
      },
    ),
    { numRuns: 2000 },
  );
  // Otherwise the laws might hold only because these never happen.
  for (const what of [
    'full',
    'timeout',
    'draining',
    'drained',
    'aborted',
    'reset',
    'ended',
    'greeting',
    'idle',
    'frame',
  ])
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
});
