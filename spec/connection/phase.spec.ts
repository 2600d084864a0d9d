import fc from 'fast-check';
import { ignoreElements, merge, Subject, type Subscription, VirtualTimeScheduler } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { after, Phase, type PhaseEvent, transitions } from '../../lib/connection/phase.ts';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { type Pair, pair } from '../support/peers.ts';

const phases = Object.entries(Phase);
const events = Object.keys(transitions) as PhaseEvent[];
const nameOf = (phase: Phase) => phases.find(([, value]) => value === phase)?.[0];

describe('the table of phases', () => {
  it('leads from each phase only to later ones', () => {
    for (const event of events) {
      for (const [, phase] of phases) expect(after(phase, event)).toBeGreaterThanOrEqual(phase);
    }
  });

  it('leaves the phase as it is for an event that is not listed there', () => {
    expect(after(Phase.waiting, 'flushed')).toBe(Phase.waiting);
    expect(after(Phase.open, 'taken')).toBe(Phase.open);
    expect(after(Phase.lingering, 'ended')).toBe(Phase.lingering);
    expect(after(Phase.open, 'closed')).toBe(Phase.open);
    for (const event of events) expect(after(Phase.closed, event)).toBe(Phase.closed);
  });

  it('leads from each phase but the last to closed', () => {
    for (const [, phase] of phases) expect(after(after(phase, 'detached'), 'closed')).toBe(Phase.closed);
  });
});

/** The members of a connection that its subclasses see. */
const inside = (connection: SocketConnection) =>
  connection as unknown as { readonly phase: Phase; enter(event: PhaseEvent): void };

const LINGER = 100;

/** One connection in memory, and the phases that it has been in. */
class PhaseRecorder {
  readonly clock = new VirtualTimeScheduler();
  readonly pair: Pair;
  readonly seen: Phase[] = [];
  readonly replies = new Subject<Data>();
  subscription: Subscription | undefined;
  #connection: SocketConnection | undefined;

  constructor(window: number) {
    this.pair = pair(this.clock, { window, linger: LINGER, stall: 200 }, ({ connection }) => {
      this.#connection = connection;
    });
    this.pass(0);
    this.look();
  }

  get connection(): SocketConnection {
    if (this.#connection === undefined) throw new Error('the connection was not accepted');
    return this.#connection;
  }

  take(): void {
    if (this.subscription) return;
    const input = this.connection.pipe(ignoreElements());
    this.subscription = merge(input, this.replies)
      .pipe(this.connection.send())
      .subscribe({ error() {} });
  }

  pass(ms: number): void {
    this.clock.maxFrames = this.clock.frame + ms;
    this.clock.flush();
    this.clock.frame = this.clock.maxFrames;
  }

  /** Records the phase, and checks that the connection is as the table says. */
  look(): void {
    const { connection, pair } = this;
    const phase = inside(connection).phase;
    this.seen.push(phase);
    const { taken, over, isDetached, isSocketClosed } = connection;
    const ends = pair.owner.ends.length;
    const name = nameOf(phase);
    expect([name, over]).toEqual([name, phase >= Phase.ending]);
    expect([name, isDetached]).toEqual([name, phase >= Phase.detached]);
    expect([name, ends]).toEqual([name, phase === Phase.closed ? 1 : 0]);
    if (phase === Phase.waiting) expect(taken).toBe(false);
    if (phase === Phase.open) expect(taken).toBe(true);
    if (phase === Phase.ending) expect(connection.output.queue.finished).toBe(false);
    if (phase === Phase.lingering) expect(connection.output.queue.finished).toBe(true);
    if (phase === Phase.closed) expect(isSocketClosed).toBe(true);
  }
}

const steps: Record<string, (one: PhaseRecorder) => void> = {
  'is taken': (one) => one.take(),
  'is ended': ({ connection }) => connection.end(),
  'is half-closed': ({ connection }) => connection.halfClose(),
  'is aborted': ({ connection }) => connection.abort(),
  'is asked to finish': ({ connection }) => connection.drain(),
  'is dismissed with a farewell': ({ connection }) => connection.dismiss('bye', LINGER),
  replies: ({ replies }) => replies.next('x'.repeat(20)),
  completes: ({ replies }) => replies.complete(),
  fails: ({ replies }) => replies.error(new Error('broken')),
  'is unsubscribed': ({ subscription }) => subscription?.unsubscribe(),
  'has a client that writes': ({ pair: { client } }) => void client.write('a'),
  'has a client that sends a FIN': ({ pair: { client } }) => void client.end(),
  'has a client that sends a RST': ({ pair: { client } }) => void client.break(),
  'has a client that reads nothing': ({ pair: { client } }) => void client.pause(),
  'has a client that reads': ({ pair: { client } }) => void client.resume(),
  'waits for an event-loop iteration': (one) => one.pass(0),
  'waits longer than the linger': (one) => one.pass(LINGER + 1),
};

it('a connection passes through the phases in the order of the table, and each transition of the table occurs', () => {
  const arrows = new Set<string>();
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 40 }),
      fc.array(fc.constantFrom(...Object.keys(steps)), { maxLength: 25 }),
      (window, names) => {
        const one = new PhaseRecorder(window);
        const { connection } = one;
        const members = inside(connection);
        const enter = members.enter.bind(connection);
        members.enter = (event: PhaseEvent) => {
          const before = inside(connection).phase;
          enter(event);
          if (inside(connection).phase !== before)
            arrows.add(`${nameOf(before)} ${event} ${nameOf(inside(connection).phase)}`);
        };
        for (const name of names) {
          steps[name]?.(one);
          one.look();
        }
        connection.abort();
        one.pass(1000);
        one.look();
        expect(one.seen).toEqual([...one.seen].sort((a, b) => a - b));
        expect(one.seen.at(-1)).toBe(Phase.closed);
      },
    ),
    { numRuns: 1500 },
  );
  const listed = Object.entries(transitions).flatMap(([event, table]) =>
    Object.entries(table).map(([from, to]) => `${nameOf(Number(from) as Phase)} ${event} ${nameOf(to)}`),
  );
  expect([...arrows].sort()).toEqual(listed.sort());
});
