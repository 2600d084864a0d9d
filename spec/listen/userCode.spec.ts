import fc from 'fast-check';
import { BehaviorSubject, map } from 'rxjs';
import { expect, it } from 'vitest';
import type { ConnectionView, ServerEvent } from '../../lib/events.ts';
import { type Connection, exchange, lines } from '../../lib/index.ts';
import { listen } from '../../lib/listen/listen.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';
import { collectUnhandled } from '../support/unhandled.ts';

const INFINITY = Number.POSITIVE_INFINITY;

/** The errors that RxJS reports as unhandled. */
const unhandled = collectUnhandled();

/** Where the server calls code of the user. */
const hooks = [
  'admit',
  'farewell',
  'evict',
  'handler',
  'listening',
  'opened',
  'closed',
  'refused',
  'failed',
  'draining',
] as const;
type Hook = (typeof hooks)[number];

class World {
  readonly concurrency = new BehaviorSubject(3);
  readonly max = new BehaviorSubject(3);
  readonly timeout = new BehaviorSubject(200);
  readonly perAddress = new BehaviorSubject(3);
  readonly perSecond = new BehaviorSubject(1000);
  readonly server: TestServer;
  readonly hook: Hook;
  readonly acts: readonly Act[];
  /** At which calls of the hook they are done. */
  readonly from: number;
  calls = 0;
  done = 0;

  constructor(hook: Hook, acts: readonly Act[], from: number, overflow: 'refuse' | 'park' | 'evict') {
    this.hook = hook;
    this.acts = acts;
    // These come once.
    this.from = hook === 'listening' || hook === 'draining' ? 0 : from;
    const { concurrency, max, timeout, perAddress: connections, perSecond } = this;
    const handler = (connection: Connection) => {
      this.act('handler');
      return exchange(lines(), (line) => `${line}\n`)(connection);
    };
    this.server = new TestServer(handler, {
      concurrency,
      waiting: { max, timeout },
      perAddress: { connections },
      accepts: { perSecond },
      overflow: overflow === 'evict' ? { evict: (a, b) => this.#compare(a, b) } : overflow,
      admit: () => this.act('admit') ?? true,
      farewell: () => {
        this.act('farewell');
        return 'bye\n';
      },
    });
    const { next } = this.server.log;
    Object.assign(this.server.log, {
      next: (event: ServerEvent) => {
        next(event);
        this.act(event.type as Hook);
      },
    });
  }

  #compare(a: ConnectionView, b: ConnectionView): number {
    this.act('evict');
    return a.id - b.id;
  }

  act(hook: Hook): undefined {
    if (hook !== this.hook || this.calls++ < this.from || this.done > 10) return;
    this.done++;
    for (const act of this.acts) acts[act](this);
  }

  get connections(): ConnectionView[] {
    return [...(this.server.log.of('listening')[0]?.connections ?? [])];
  }
}

const acts = {
  throws: () => {
    throw new Error('boom');
  },
  unsubscribes: ({ server }) => server.log.subscription?.unsubscribe(),
  signals: ({ server }) => server.shutdown.next('SIGTERM'),
  'aborts all': ({ connections }) => {
    for (const one of connections) one.abort();
  },
  'ends all': ({ connections }) => {
    for (const one of connections) one.end();
  },
  'drains all': ({ connections }) => {
    for (const one of connections) one.drain();
  },
  'lowers the limits': ({ concurrency, max, perAddress, perSecond, timeout }) => {
    for (const limit of [concurrency, perAddress]) limit.next(1);
    for (const limit of [max, perSecond, timeout]) limit.next(0);
  },
  'raises the limits': ({ concurrency, max, perAddress, perSecond }) => {
    for (const limit of [concurrency, max, perAddress, perSecond]) limit.next(9);
  },
  'emits a wrong limit': ({ concurrency, max }) => {
    for (const limit of [concurrency, max]) limit.next(-1);
  },
  connects: ({ server }) => {
    server.network.connect().write('hello\n');
  },
} satisfies Record<string, (world: World) => void>;
type Act = keyof typeof acts;

async function scenario({ server, max }: World): Promise<void> {
  const { network, clock } = server;
  await clock.settle();
  const clients = [];
  for (let round = 0; round < 4; round++) {
    for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
      for (let i = 0; i <= round; i++)
        clients.push(network.connect({ address: { address, port: 1 } }).write('hello\n'));
    await clock.settle();
    max.next(-1);
    await clock.advance(60);
    clients[round * 3]?.end();
    clients[round * 3 + 1]?.break();
    await clock.advance(round * 70);
  }
}

it('the server stays consistent and leaves nothing, whatever code of the user does in its calls', async () => {
  const done = new Map<string, number>();
  const overflow = fc.constantFrom('refuse' as const, 'park' as const, 'evict' as const);
  const chosen = fc.array(fc.constantFrom(...(Object.keys(acts) as Act[])), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...hooks), chosen, fc.nat(5), overflow, async (hook, all, from, kind) => {
      const world = new World(hook, all, from, kind);
      const { server } = world;
      const { log, clock } = server;
      await scenario(world);
      const { concurrency, max, timeout, perAddress, perSecond } = world;
      for (const [limit, value] of [
        [concurrency, 50],
        [max, 50],
        [timeout, 1000],
        [perAddress, 50],
        [perSecond, INFINITY],
      ] as const)
        limit.next(value);
      const wasDone = world.done > 0;
      world.done = 100;
      const isOpen = !log.subscription?.closed && !log.completed;
      if (isOpen && !log.types.includes('draining')) {
        // It is as any other server: a client that connects now is served.
        const client = server.network.connect().write('hello\n');
        await clock.advance(100);
        expect([log.counters.waiting, client.text]).toEqual([0, 'hello\n']);
      }
      if (isOpen) server.shutdown.next('SIGTERM');
      await clock.advance(30_000);
      expect(log.completed || log.subscription?.closed).toBe(true);
      expect([server.network.sockets.size, server.network.listening, clock.actions]).toEqual([0, false, []]);
      expect(log.counters).toMatchObject({ waiting: 0, active: 0 });
      for (const error of unhandled.splice(0)) expect(String(error)).toBe('Error: boom');
      if (wasDone || hook === 'draining') done.set(hook, (done.get(hook) ?? 0) + 1);
    }),
    { numRuns: 500 },
  );
  for (const hook of hooks) expect(done.get(hook) ?? 0, hook).toBeGreaterThan(0);
});

it('a server that is unsubscribed when it listens emits nothing more, and asks for no pause', async () => {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const log = new Log();
  const events = {
    next: (event: ServerEvent) => {
      log.next(event);
      subscription.unsubscribe();
    },
  };
  const options = { transport: network.transport, scheduler: clock, events, overflow: 'park' as const };
  const subscription = listen({ port: 0 }, options)
    .pipe(map(() => 0))
    .subscribe();
  await clock.settle();
  expect([log.types, clock.actions]).toEqual([['listening'], []]);
});
