import { mock } from 'node:test';
import { lastValueFrom, type Observable, Subject, type Subscription } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LivenessPoller } from '../../lib/connection/livenessPoller.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { DeadlineTimer } from '../../lib/time/deadlineTimer.ts';
import { monotonic } from '../../lib/time/monotonic.ts';

const MANY = 5000;

const left: Subscription[] = [];
afterEach(() => {
  vi.useRealTimers();
  mock.timers.reset();
  for (const one of left.splice(0)) one.unsubscribe();
});

const until = (done: () => boolean) => vi.waitUntil(done, { timeout: 55_000, interval: 1 });

function served(handler: Handler, options: ServeOptions = {}) {
  const network = new MemoryNetwork();
  const events = serve({ port: 0 }, handler, { ...options, transport: network.transport });
  const subscription = events.subscribe();
  left.push(subscription);
  return { network, subscription };
}

/** Lets everything that consists of promises run until it waits for a timer. */
async function microtasks(): Promise<void> {
  for (let left = 5 * MANY; left > 0; left--) await undefined;
}

/** Plays a test that fakes timers while connections write endlessly, and that never runs the timers which it leaves behind. */
async function leaveFakesBehind(install: () => void, drop: () => void): Promise<void> {
  install();
  const handlers: Handler[] = [
    async (connection) => {
      for (;;) await connection.write('x');
    },
    function* () {
      for (;;) yield 'x';
    },
    async function* () {
      for (;;) yield 'x';
    },
    exchange(lines(), async (line) => line),
  ];
  for (const handler of handlers) served(handler).network.connect().pause().write('one\ntwo\n');
  await microtasks();
  drop();
}

interface Fakes {
  install(): void;
  remove(): void;
}

const fakes = (...toFake: string[]): Fakes => ({
  install: () => vi.useFakeTimers(toFake.length === 0 ? {} : { toFake: toFake as never }),
  remove: () => vi.useRealTimers(),
});
const fakesOfNode: Fakes = {
  install: () => mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] }),
  remove: () => mock.timers.reset(),
};

const ways: [string, Fakes][] = [
  ['the usual timers', fakes()],
  [
    'the usual timers and microtasks',
    fakes('setTimeout', 'setInterval', 'setImmediate', 'Date', 'performance', 'queueMicrotask'),
  ],
  ['setImmediate alone', fakes('setImmediate')],
  ['setImmediate and the time', fakes('setImmediate', 'performance', 'Date')],
  ['all but setImmediate', fakes('setTimeout', 'setInterval', 'clearTimeout', 'clearInterval', 'Date', 'performance')],
  ['the timers of node:test', fakesOfNode],
];

describe.each(ways)('after a test that faked %s while connections wrote', (_what, { install, remove }) => {
  const fake = () => leaveFakesBehind(install, remove);

  it('promises of write() are resolved', async () => {
    await fake();
    let written = 0;
    const { network } = served(async (connection) => {
      for (; written < MANY; written++) await connection.write('x');
    });
    const client = network.connect();
    await until(() => client.ended);
    expect(client.text).toHaveLength(MANY);
  });

  it.each([
    [
      'a generator',
      function* () {
        for (let left = MANY; left > 0; left--) yield 'x';
      },
    ],
    [
      'an async generator',
      async function* () {
        for (let left = MANY; left > 0; left--) yield 'x';
      },
    ],
  ])('%s is read to its end', async (_kind, source) => {
    await fake();
    const client = served(source).network.connect();
    await until(() => client.ended);
    expect(client.text).toHaveLength(MANY);
  });

  it('replies are flushed', async () => {
    await fake();
    const client = served(exchange(lines(), async (line) => `${line}\n`)).network.connect();
    client.write('a\n');
    await until(() => client.text === 'a\n');
  });

  it('frames of a chunk that exceed the quota of one iteration are emitted', async () => {
    await fake();
    const client = served(exchange(lines(), () => 'x')).network.connect();
    client.write('a\n'.repeat(MANY));
    await until(() => client.text.length === MANY);
  });

  it('a drain completes', async () => {
    await fake();
    const network = new MemoryNetwork();
    const shutdown = new Subject<void>();
    const events = serve(
      { port: 0 },
      exchange(lines(), (line) => line),
      { transport: network.transport, shutdown },
    );
    const report = lastValueFrom(events as Observable<{ type: string }>);
    const client = network.connect();
    client.write('a\n');
    await until(() => client.text === 'a');
    shutdown.next();
    client.end();
    expect(await report).toMatchObject({ type: 'drained', drained: 1, aborted: 0 });
  });

  it('a deadline timer and a liveness poller that were set fire', async () => {
    const fired: string[] = [];
    let due = Number.POSITIVE_INFINITY;
    const timer = new DeadlineTimer(monotonic, { due: () => due, expire: () => fired.push('timer') });
    const poller = new LivenessPoller();
    const dead = { needsPolling: true, alive: false, died: () => fired.push('poller') };
    await leaveFakesBehind(install, () => {
      due = monotonic.now() + 1;
      timer.set();
      poller.add(dead);
      poller.delete(dead);
      remove();
    });
    due = monotonic.now() + 5;
    timer.set();
    poller.add(dead);
    await until(() => fired.length === 2);
    expect(fired.sort()).toEqual(['poller', 'timer']);
  });
});

describe('on fake timers', () => {
  const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  it('loops continue after all timers are cleared', async () => {
    await leaveFakesBehind(fakes().install, () => vi.clearAllTimers());
    const client = served(async (connection) => {
      for (let left = MANY; left > 0; left--) await connection.write('x');
    }).network.connect();
    await advance(100);
    expect([client.text.length, client.ended]).toEqual([MANY, true]);
  });

  it('a whole server runs: writes, generators, deadlines and its drain', async () => {
    vi.useFakeTimers();
    const shutdown = new Subject<void>();
    const network = new MemoryNetwork();
    const events: string[] = [];
    const handler = exchange(lines(), async function* (line) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      for (let left = MANY; left > 0; left--) yield line;
    });
    left.push(
      serve({ port: 0 }, handler, { transport: network.transport, shutdown, idle: 1000, grace: 5000 }).subscribe(
        (event) => events.push('reason' in event ? `${event.type} ${event.reason}` : event.type),
      ),
    );
    const [client, silent] = [network.connect(), network.connect()];
    client.write('a\n');
    await advance(500);
    expect(client.text).toHaveLength(MANY);
    client.write('b\n');
    await advance(700);
    expect(client.text).toHaveLength(2 * MANY);
    expect(silent.ended).toBe(true);
    client.write('half a line');
    await advance(1);
    shutdown.next();
    await advance(4000);
    expect(client.reset || client.ended).toBe(true);
    await advance(10_000);
    expect(events.at(0)).toBe('listening');
    expect(events.at(-1)).toBe('drained');
  });
});
