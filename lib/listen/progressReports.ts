import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ProgressEvent } from '../events.ts';
import { type Linked, LinkedSet } from '../linkedSet.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

export interface ProgressOptions {
  readonly clock: SchedulerLike;
  /** Milliseconds from one report of a connection to the next. */
  readonly every: number;
  readonly emit: (event: ProgressEvent) => void;
}

/** Milliseconds between two steps, if more reports are due than fit into one. */
const STEP = 10;

/** Reports in one step at least. It is more where so many connections are open that they would fall behind. */
const REPORTS_A_STEP = 64;

/** The last report of one connection, or its begin. */
class LastReport implements Linked<LastReport> {
  following: LastReport | undefined;
  preceding: LastReport | undefined;
  place = 0;
  memberOf: LinkedSet<LastReport> | undefined;
  readonly connection: SocketConnection;
  bytesIn = 0;
  bytesOut = 0;
  duration: number;
  /** When the next one is due. */
  dueAt: number;

  constructor(connection: SocketConnection, dueAt: number) {
    this.connection = connection;
    this.duration = connection.watchdog.age;
    this.dueAt = dueAt;
  }
}

/**
 * Reports the figures of each connection at an interval, for as long as it lasts.
 *
 * All wait for the same time, so they are a queue, and one timer waits for the first of them. Connections that were opened at the
 * same moment are reported in several steps. From then on they stay apart, because the next report is counted from the last one.
 */
export class ProgressReports implements DeadlineOwner {
  readonly #options: ProgressOptions;
  /** In the order in which they are due. */
  readonly #queue = new LinkedSet<LastReport>();
  readonly #timer: DeadlineTimer;
  /** When the next step may be. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #isOver = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#timer = new DeadlineTimer(options.clock, this);
  }

  /** A connection is about to be served. */
  add(connection: SocketConnection): void {
    if (this.#isOver) return;
    const { clock, every } = this.#options;
    const report = new LastReport(connection, clock.now() + every);
    this.#queue.add(report);
    connection.closed.subscribe(() => void this.#queue.delete(report));
    this.#timer.set();
  }

  /** The server has ended. */
  unsubscribe(): void {
    this.#isOver = true;
    for (const report of this.#queue) this.#queue.delete(report);
    this.#timer.clear();
  }

  due(): number {
    const { first } = this.#queue;
    return first === undefined ? Number.POSITIVE_INFINITY : Math.max(first.dueAt, this.#notBefore);
  }

  expire(): void {
    const { clock, every } = this.#options;
    const now = clock.now();
    let left = Math.max(REPORTS_A_STEP, Math.ceil((2 * this.#queue.size * STEP) / every));
    try {
      for (let { first } = this.#queue; first !== undefined && first.dueAt <= now; first = this.#queue.first) {
        if (left-- === 0) {
          this.#notBefore = now + STEP;
          break;
        }
        this.#queue.delete(first);
        first.dueAt = now + every;
        this.#queue.add(first);
        this.#report(first);
      }
    } finally {
      this.#timer.set();
    }
  }

  #report(last: LastReport): void {
    const { connection } = last;
    const { id, peer, bytesIn, bytesOut, unsent } = connection;
    const duration = connection.watchdog.age;
    const change = {
      bytesIn: bytesIn - last.bytesIn,
      bytesOut: bytesOut - last.bytesOut,
      duration: duration - last.duration,
    };
    last.bytesIn = bytesIn;
    last.bytesOut = bytesOut;
    last.duration = duration;
    const event: ProgressEvent = { type: 'progress', id, peer, bytesIn, bytesOut, unsent, duration, change };
    connection.inContext(() => this.#options.emit(event));
  }
}
