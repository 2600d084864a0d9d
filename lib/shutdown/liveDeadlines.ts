import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Deadlines } from '../connection/watchdog.ts';
import type { LiveSet } from '../events.ts';
import type { Current, Live, LiveOptions } from '../listen/live.ts';
import { timeLimit } from '../options.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { inSlices } from '../time/inSlices.ts';

/** The deadlines as the user gives them: each in milliseconds, or an Observable of that. */
export interface GivenDeadlines {
  readonly idle: Live<number>;
  readonly greeting: Live<number>;
  readonly frame: Live<number>;
  readonly reply: Live<number>;
}

/**
 * The deadlines of the connections of one server, as they are now: one object for all connections.
 *
 * A connection that is open has its timer armed for the deadline that it had, so it is armed anew when one is lowered.
 */
export class LiveDeadlines implements Deadlines {
  readonly grace: number;
  readonly #connections: LiveSet<SocketConnection>;
  readonly #clock: SchedulerLike;
  readonly #current: Readonly<Record<keyof GivenDeadlines, Current<number>>>;

  constructor(
    given: GivenDeadlines,
    grace: number,
    options: LiveOptions,
    connections: LiveSet<SocketConnection>,
    clock: SchedulerLike,
  ) {
    this.grace = grace;
    this.#connections = connections;
    this.#clock = clock;
    const add = (name: keyof GivenDeadlines) =>
      options.add(given[name], { name, allowed: timeLimit, changed: () => this.#armAll() });
    this.#current = { idle: add('idle'), greeting: add('greeting'), frame: add('frame'), reply: add('reply') };
  }

  get idle(): number {
    return this.#current.idle.value;
  }

  get greeting(): number {
    return this.#current.greeting.value;
  }

  get frame(): number {
    return this.#current.frame.value;
  }

  get reply(): number {
    return this.#current.reply.value;
  }

  /** A few in each iteration of the event loop, because there may be many. */
  #armAll(): void {
    nextIteration(this.#clock, () =>
      inSlices(this.#clock, this.#connections, (connection) => connection.watchdog.set()),
    );
  }
}
