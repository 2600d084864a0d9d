import type { Observable, Subscription } from 'rxjs';
import { expect } from 'vitest';
import type { Counters, ServerEvent } from '../../lib/events.ts';
import { EventLog } from './eventLog.ts';
import { PATIENCE } from './waitable.ts';

type Of<Type extends ServerEvent['type']> = Extract<ServerEvent, { type: Type }>;

/** Records the events of a server. Asserts at each of them that the counters add up, and that a connection ends once. */
export class Log extends EventLog<ServerEvent> {
  readonly #ended = new Set<number>();
  counters: Counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };
  /** Set by `follow`. */
  subscription: Subscription | undefined;

  /** Subscribes to the events of a server, and records them. */
  static follow(server: Observable<ServerEvent>): Log {
    const log = new Log();
    log.subscription = server.subscribe(log);
    return log;
  }

  protected override seen(event: ServerEvent): void {
    if (event.type === 'listening') this.counters = event.counters;
    const { accepted, waiting, active, closed, refused } = this.counters;
    expect(waiting + active + closed + refused, `counters at ${event.type}`).toBe(accepted);
    if (event.type === 'closed' || event.type === 'refused') {
      expect(this.#ended.has(event.id), `connection ${event.id} ends once`).toBe(false);
      this.#ended.add(event.id);
    }
  }

  /** The types of all events, in their order. */
  get types(): string[] {
    return this.events.map((event) => event.type);
  }

  /** The reasons of all refusals, in their order. */
  get refusals(): string[] {
    return this.of('refused').map((event) => event.reason);
  }

  /** The reasons of all closes, in their order. */
  get closes(): string[] {
    return this.of('closed').map((event) => event.deadline ?? event.reason);
  }

  /** The report of the drain. */
  get report(): Of<'drained'> {
    const [report] = this.of('drained');
    if (!report) throw new Error('There is no report yet');
    return report;
  }

  /** Waits until the server listens. @returns Its port. */
  async whenListening(): Promise<number> {
    await this.until((log) => log.of('listening').length > 0 || log.fault !== undefined, 'listening');
    if (this.fault !== undefined) throw this.fault;
    return this.of('listening')[0]?.address.port ?? 0;
  }

  /** Waits for a number of events of a type. */
  whenEmitted(type: ServerEvent['type'], count = 1): Promise<this> {
    return this.until((log) => log.of(type).length >= count, `${count} × ${type}`);
  }

  /** Waits until this many connections have been accepted. Polls, because a connection that begins to wait emits no event. */
  async whenAccepted(count: number, within = PATIENCE): Promise<void> {
    const until = performance.now() + within;
    while (this.counters.accepted < count) {
      if (performance.now() > until) throw new Error(`Only ${this.counters.accepted} of ${count} have been accepted`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Waits until the stream has completed or errored. */
  whenCompleted(within?: number): Promise<this> {
    return this.until((log) => log.completed || log.fault !== undefined, 'the end of the server', within);
  }
}
