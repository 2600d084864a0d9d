import type { SchedulerLike } from 'rxjs';
import { DeadlineError } from '../errors.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** The work on one request, as far as its deadline needs it. */
export interface TimedWork {
  /** When its time is over, in milliseconds of the clock; `Infinity` while its time does not run. */
  readonly expiresAt: number;
  /** Starts its time, or stops it. */
  working(is: boolean): void;
  /** Ends the work with an error. */
  fail(error: unknown): void;
}

/** The connection of the work, as far as its deadline needs it. */
export interface TimedConnection {
  readonly clock: SchedulerLike;
  inContext(work: () => void): void;
}

/** The deadline of the work on each request of a connection: one timer for all of them. */
export class ReplyDeadline implements DeadlineOwner {
  /** Milliseconds that the work on one request may take. */
  readonly timeout: number;
  readonly #works: ReadonlySet<TimedWork>;
  readonly #connection: TimedConnection;
  #timer: DeadlineTimer | undefined;

  /** @param works The work in progress. */
  constructor(timeout: number, works: ReadonlySet<TimedWork>, connection: TimedConnection) {
    this.timeout = timeout;
    this.#works = works;
    this.#connection = connection;
  }

  /** @param expiresAt A moment at which one of them expires, in milliseconds of the clock. */
  set(expiresAt: number): void {
    this.#timer ??= new DeadlineTimer(this.#connection.clock, this);
    this.#timer.set(expiresAt);
  }

  clear(): void {
    this.#timer?.clear();
  }

  due(): number {
    let due = NEVER;
    for (const { expiresAt } of this.#works) due = Math.min(due, expiresAt);
    return due;
  }

  expire(): void {
    const now = this.#connection.clock.now();
    const expired = [...this.#works].filter(({ expiresAt }) => expiresAt <= now);
    // Stop these and re-arm the timer before user code is called, because the rest must stay under the deadline.
    for (const work of expired) work.working(false);
    this.#timer?.set();
    // The failure of one may have ended another one.
    this.#connection.inContext(() => {
      for (const work of expired) if (this.#works.has(work)) work.fail(new DeadlineError('reply', this.timeout));
    });
  }
}
