import { Observable, type SchedulerLike, Subject, type Subscriber, Subscription } from 'rxjs';
import { Sending } from '../connection/send.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import type { Counters, ListenEvent, ServerEvent } from '../events.ts';
import type { Parting } from '../listen/parting.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { afterPoll, endOfCallback, nextIteration } from '../time/eventLoop.ts';
import { TurnQuota } from '../time/turnQuota.ts';

export interface DrainOptions {
  /** Milliseconds to go on accepting after the signal. */
  readonly announce: number;
  /** Milliseconds that connections have to finish, from when the port is freed. */
  readonly grace: number;
  readonly clock: SchedulerLike;
  /** Connections that were refused, and linger. */
  readonly parting: Parting;
}

/** Milliseconds after the grace in which broken-off sockets are waited for. Then the end comes without them. */
const LAST_CALL = 100;

/** Milliseconds for which the port is kept open at most because connections keep coming, if the grace is not shorter. */
const LAST_TURNS = 1000;

/** A turn of the event loop counts as so many milliseconds of that at most: what is longer, the process was not running. */
const LONG_TURN = 100;

/** A timer that is so many milliseconds late was kept from firing: the process did not run. */
const LATE = 100;

/** Milliseconds for which what came meanwhile is waited for then, if neither the delay nor the lateness is shorter. */
const MAKE_UP = 1000;

/**
 * The shutdown of a server, and the book of who is still there.
 *
 * ```text
 * signal   ---x------------------------y----      y: a second signal, the grace is over at once
 * events   ---draining-----------------------drained|
 * port     =================                      announce, and a turn of the event loop
 * handlers ===================================    they finish what is in progress, at most for grace
 * ```
 *
 * It is on each connection's way in and out, in constant time: no Subject has an observer for each of them, as one that
 * completes forty thousand takes seconds to let them go.
 */
export class Drain {
  readonly #options: DrainOptions;
  /** Where events go. */
  readonly tell: (event: ServerEvent) => void;
  readonly #closePort = new Subject<void>();
  readonly #overdue = new Subject<void>();
  readonly #timers = new Subscription();
  readonly #report = { drained: 0, aborted: 0, refused: 0, unsent: 0 };
  #counters: Counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };
  #connections: ReadonlySet<SocketConnection> = new Set();
  /** Connections, by id, whose `failed` event is out and whose `closed` event is not. */
  readonly #failed = new Set<number>();
  #begun: number | undefined;
  #accepting = true;
  #aborting = false;

  constructor(options: DrainOptions, tell: (event: ServerEvent) => void) {
    this.#options = options;
    this.tell = tell;
  }

  /** Emits when the port is to be freed. */
  get closePort(): Observable<void> {
    return this.#closePort;
  }

  /** Emits when the end comes whether or not all sockets are gone. */
  get overdue(): Observable<void> {
    return this.#overdue;
  }

  /** The first signal begins the drain, the second ends the grace, further ones change nothing. */
  signal(): void {
    if (this.#begun === undefined) this.#begin();
    else this.#abort();
  }

  /** Listens in on what happens at the port, and passes it on. */
  next(event: ListenEvent): void {
    if (event.type === 'listening') {
      this.#counters = event.counters;
      this.#connections = event.connections as ReadonlySet<SocketConnection>;
    }
    if (this.#begun !== undefined) this.#count(event);
    if (event.type === 'closed' && !this.#failed.delete(event.id) && event.reason === 'failed') {
      // The error did not pass through the handler's stream: a decoder threw it, or a relay broke the connection off.
      this.tell({ type: 'failed', id: event.id, peer: event.peer, error: event.error });
    }
    this.tell(event);
  }

  /** Tells that the handler of a connection failed. */
  failed(connection: SocketConnection, error: unknown): void {
    if (connection.isInputError(error)) return;
    if (this.#connections.has(connection)) this.#failed.add(connection.id);
    this.tell({ type: 'failed', id: connection.id, peer: connection.peer, error });
  }

  /**
   * Lets a connection have its replies, and completes when its socket is gone: only then is there room for another one. A
   * failure ends the connection, is told, and stays here.
   */
  attend(
    connection: SocketConnection,
    reply: (connection: SocketConnection) => Observable<Data | undefined>,
  ): Observable<never> {
    return new Observable((subscriber) => {
      const attended = new Attended(connection, this, subscriber);
      connection.whenFreed(attended);
      if (connection.attach(attended)) {
        try {
          connection.inContext(() => reply(connection).subscribe(attended));
        } catch (error) {
          attended.error(error);
        }
        connection.handlerStarted();
      } else if (!connection.taken) {
        // It was refused, or its client left, before the pipe came to it: the place is for the next one.
        endOfCallback(connection.clock, () => attended.freed());
      }
      // It was in the pipe's hands when the port was freed, or the signal came while the handler was being built.
      if (!this.#accepting) connection.drain();
    });
  }

  /** All are gone: says so. Only after a signal; a pipe that was stopped otherwise has nothing to report. */
  end(): void {
    const left = [...this.#connections];
    this.unsubscribe();
    if (this.#begun === undefined) return;
    const { drained, refused } = this.#report;
    this.tell({
      type: 'drained',
      drained,
      refused,
      aborted: this.#report.aborted + left.length,
      unsent: left.reduce((sum, connection) => sum + connection.unsent, this.#report.unsent),
      duration: this.#options.clock.now() - this.#begun,
    });
  }

  /**
   * Nobody wants to hear of the server any more: breaks off who is there, and forgets its timers. One registration for all
   * of them, as each that a connection had of its own would cost it some hundred bytes.
   */
  unsubscribe(): void {
    this.#timers.unsubscribe();
    for (const connection of this.#connections) connection.abort();
    this.#options.parting.close();
  }

  #begin(): void {
    const { announce, grace, clock } = this.#options;
    this.#begun = clock.now();
    const { active, waiting } = this.#counters;
    this.tell({ type: 'draining', active, waiting });
    this.#after(announce, () => this.#acceptTheLast(Math.min(LAST_TURNS, grace)));
  }

  /**
   * What the kernel has accepted already is served, not reset. A turn of the event loop may bring one of them only, so it
   * takes turns until one brings none.
   */
  #acceptTheLast(left: number): void {
    const { clock } = this.#options;
    const { accepted } = this.#counters;
    const began = clock.now();
    afterPoll(clock, () => {
      const over = left - Math.min(clock.now() - began, LONG_TURN);
      if (this.#counters.accepted > accepted && over > 0) this.#acceptTheLast(over);
      else this.#stopAccepting();
    });
  }

  #stopAccepting(): void {
    if (!this.#accepting) return;
    this.#accepting = false;
    this.#after(this.#options.grace, () => this.#abort());
    this.#closePort.next();
    this.#each((connection) => connection.drain());
  }

  #abort(): void {
    if (this.#aborting) return;
    this.#stopAccepting();
    this.#aborting = true;
    this.#after(LAST_CALL, () => this.#overdue.next());
    this.#options.parting.close();
    this.#each((connection) => connection.abort());
  }

  /** A few in each turn of the event loop: fifty thousand at once would hold up those who have something to finish. */
  #each(work: (connection: SocketConnection) => void): void {
    const { clock } = this.#options;
    const connections = this.#connections.values();
    const share = new TurnQuota(clock);
    const go = () => {
      for (let next = connections.next(); !next.done; next = connections.next()) {
        work(next.value);
        if (share.spend()) return nextIteration(clock, go);
      }
    };
    go();
  }

  #count(event: ListenEvent): void {
    if (event.type === 'refused') this.#report.refused++;
    if (event.type !== 'closed') return;
    if (event.reason === 'aborted' || event.reason === 'evicted') this.#report.aborted++;
    else this.#report.drained++;
    this.#report.unsent += event.unsent;
  }

  #after(delay: number, work: () => void): void {
    if (this.#timers.closed) return;
    const { clock } = this.#options;
    const alarm = new DeadlineTimer(clock, new Delay(clock, delay, work));
    this.#timers.add(() => alarm.clear());
    alarm.set();
  }
}

/** A time to wait. What the process lost of it, because it was stopped or busy, is made up for once. */
class Delay implements DeadlineOwner {
  /** The end of a process in the middle of a drain would be an end without the report. */
  readonly holds = true;
  readonly #clock: SchedulerLike;
  readonly #delay: number;
  readonly #work: () => void;
  #due: number;
  #madeUp = false;

  constructor(clock: SchedulerLike, delay: number, work: () => void) {
    this.#clock = clock;
    this.#delay = delay;
    this.#work = work;
    this.#due = clock.now() + delay;
  }

  due(): number {
    const now = this.#clock.now();
    const late = now - this.#due;
    if (late >= LATE && !this.#madeUp) {
      this.#madeUp = true;
      this.#due = now + Math.min(late, this.#delay, MAKE_UP);
    }
    return this.#due;
  }

  expire(): void {
    this.#due = Number.POSITIVE_INFINITY;
    this.#work();
  }
}

/** A connection that is served, as long as its socket lives. */
class Attended extends Sending {
  readonly #drain: Drain;
  readonly #subscriber: Subscriber<never>;

  constructor(connection: SocketConnection, drain: Drain, subscriber: Subscriber<never>) {
    super(connection);
    this.#drain = drain;
    this.#subscriber = subscriber;
  }

  /** Its end is not that of its replies, but that of its socket. */
  flushed(): void {}

  failed(error: unknown): void {
    this.#drain.failed(this.connection, error);
  }

  freed(): void {
    this.#subscriber.complete();
  }
}
