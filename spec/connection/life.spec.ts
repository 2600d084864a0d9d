import fc from 'fast-check';
import { finalize, ignoreElements, merge, Subject, type Subscription, tap, VirtualTimeScheduler } from 'rxjs';
import { expect, it } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { type Pair, pair } from '../support/peers.ts';

const LINGER = 100;
const STALL = 200;

/** One connection in memory, whose clock is stopped between commands. */
class Life {
  readonly clock = new VirtualTimeScheduler();
  readonly pair: Pair;
  connection: SocketConnection | undefined;
  readonly replies = new Subject<Data>();
  subscription: Subscription | undefined;
  pushed = '';
  sent = 0;
  received = 0;
  stopped = 0;
  /** Notifications of the handler after its connection was closed, or after the handler was unsubscribed from. */
  readonly late: string[] = [];

  constructor(window: number) {
    this.pair = pair(this.clock, { window, linger: LINGER, stall: STALL, highWaterMark: 50 }, ({ connection }) => {
      this.connection = connection;
      const activity = (what: string) => {
        if (this.stopped > 0 || this.pair.owner.ends.length > 0) this.late.push(what);
      };
      const input = connection.pipe(
        tap({
          next: (chunk) => {
            activity('next');
            this.received += chunk.length;
          },
          complete: () => activity('complete'),
          error: () => activity('error'),
        }),
        finalize(() => this.stopped++),
      );
      // The input is only counted. Commands send the replies.
      this.subscription = merge(input.pipe(ignoreElements()), this.replies)
        .pipe(connection.send())
        .subscribe({ error: () => undefined });
    });
    this.pass(0);
  }

  pass(ms: number): void {
    this.clock.maxFrames = this.clock.frame + ms;
    this.clock.flush();
    this.clock.frame = this.clock.maxFrames;
  }
}

type Step = fc.Command<object, Life>;

const step = (name: string, run: (life: Life) => void): Step => ({
  check: () => true,
  run: (_model, life) => {
    run(life);
    laws(life);
  },
  toString: () => name,
});

/** The invariants. */
function laws({ pair: { owner, client }, connection, late, pushed, sent, received, stopped }: Life): void {
  expect(late).toEqual([]);
  expect(owner.ends.length).toBeLessThanOrEqual(1);
  expect(stopped).toBeLessThanOrEqual(1);
  expect(pushed.startsWith(client.text)).toBe(true);
  const { bytesIn = 0, bytesOut = 0, unsent = 0 } = owner.ends[0] ?? connection ?? {};
  expect(received).toBeLessThanOrEqual(bytesIn);
  expect(bytesIn).toBeLessThanOrEqual(sent);
  // Bytes that were under way when the connection was reset are sent, but not received.
  if (client.reset) expect(bytesOut).toBeGreaterThanOrEqual(client.bytes.length);
  else expect(bytesOut).toBe(client.bytes.length);
  expect(bytesOut + unsent).toBe(pushed.length);
}

const shortText = fc.integer({ min: 1, max: 40 }).map((length) => 'x'.repeat(length));

const commands = [
  ...Object.entries<(life: Life) => void>({
    'client ends': ({ pair: { client } }) => void client.end(),
    'client breaks': ({ pair: { client } }) => void client.break(),
    'client pauses': ({ pair: { client } }) => void client.pause(),
    'client resumes': ({ pair: { client } }) => void client.resume(),
    'handler completes': ({ replies }) => replies.complete(),
    'handler fails': ({ replies }) => replies.error(new Error('broken')),
    'handler is unsubscribed': ({ subscription }) => subscription?.unsubscribe(),
    'server ends': ({ connection }) => connection?.end(),
    'server aborts': ({ connection }) => connection?.abort(),
    'server drains': ({ connection }) => connection?.drain(),
  }).map(([name, run]) => fc.constant(step(name, run))),
];

const reply = shortText.map((text) =>
  step(`handler replies ${text.length}`, (life) => {
    // Only a Subject with a subscriber writes anything: later the handler has been unsubscribed from.
    if (life.replies.observed) life.pushed += text;
    life.replies.next(text);
  }),
);
const pass = fc.integer({ min: 0, max: 150 }).map((ms) => step(`${ms} ms pass`, (life) => life.pass(ms)));
const write = shortText.map((text) =>
  step(`client writes ${text.length}`, (life) => {
    life.sent += text.length;
    life.pair.client.write(text);
  }),
);

it('a connection closes once, with figures that add up and no notification of its handler afterwards, after any commands', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.commands([...commands, reply, reply, pass, pass, write, write], { maxCommands: 40 }),
      (window, steps) => {
        const life = new Life(window);
        fc.modelRun(() => ({ model: {}, real: life }), steps);
        // At the end the peer sends a RST. A server whose input is paused does not notice it, and closes at the stall deadline.
        life.pair.client.break();
        life.pass(0);
        life.pass(10 * (LINGER + STALL));
        laws(life);
        expect(life.pair.owner.ends.length).toBe(1);
        expect(life.stopped).toBe(1);
        expect(life.pair.network.sockets.size).toBe(0);
        expect(life.replies.observed).toBe(false);
        expect(life.subscription?.closed).toBe(true);
      },
    ),
    { numRuns: 1500 },
  );
});
