import { type Observable, type SchedulerLike, Subject, Subscription } from 'rxjs';
import { closeReasons } from '../connection/closing.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import type { ConnectionView, ListenEvent, ServerEvent } from '../events.ts';
import type { Lingering } from '../listen/lingering.ts';
import type { Registry } from '../listen/registry.ts';
import { type DrainPlan, isToBeAsked, LAST_ACCEPTS, LAST_CLOSES, spreadWithin } from '../listen/rehearse.ts';
import { checkArgument, dataOrNothing } from '../options.ts';
import { afterPoll } from '../time/eventLoop.ts';
import { inSlices } from '../time/inSlices.ts';
import { afterDelay } from './delay.ts';
import { DrainTally } from './drainTally.ts';
import type { ConnectionServer } from './serveConnection.ts';
import { Spread } from './spread.ts';

export interface DrainOptions extends DrainPlan {
  readonly clock: SchedulerLike;
  /** The connections of the port, and how many there are and were. */
  readonly registry: Registry;
  /** Refused connections whose sockets are not closed. */
  readonly lingering: Lingering;
  /** What a connection that has finished is sent before our FIN. */
  readonly lastCall: ((connection: ConnectionView) => Data | undefined) | undefined;
  /** Where events go. */
  readonly emit: (event: ServerEvent) => void;
}

/** Milliseconds between two looks at whether handshakes are complete. */
const HANDSHAKE_POLL = 5;

/** Milliseconds that one iteration of the event loop counts at most towards that. In a longer one the process was not running. */
const LONG_ITERATION = 100;

/**
 * The shutdown of a server.
 *
 * ```text
 * signal   ---x------------------------y----      y: a second signal, the grace is over at once
 * events   ---draining-----------------------drained|
 * port     =================                      announce, and an iteration of the event loop
 * handlers ===================================    they finish what is in progress, at most for grace
 * ```
 *
 * 1. The first signal emits `draining`. The port stays open for `announce`, and then until the connections that the kernel has
 *    completed are accepted, for a second at most.
 * 2. `closePort` emits. The port is closed, and connections that wait are refused as `draining`. Each connection is asked to
 *    finish: idle ones end at once, others when their replies have left. With `spread`, one after the other, evenly over
 *    that time.
 * 3. After `grace`, or on the second signal, the connections that are left are aborted. If their sockets are not closed within
 *    100 ms, `overdue` emits.
 * 4. When all sockets are closed, or when `overdue` emits, `serve` calls `end`, which emits the report, and completes.
 *
 * All events of the port pass through it, and all connections are served through it. Both take constant time. No Subject has
 * an observer for each connection, because one that completes with forty thousand observers takes seconds to remove them.
 */
export class Drain implements ConnectionServer {
  readonly #options: DrainOptions;
  readonly #closePort = new Subject<void>();
  readonly #overdue = new Subject<void>();
  readonly #timers = new Subscription();
  readonly #tally = new DrainTally();
  /** Connections, by id, whose `failed` event is emitted and whose `closed` event is not. */
  readonly #failed = new Set<number>();
  #begun: number | undefined;
  #isAccepting = true;
  #aborting = false;
  #spread: Spread<SocketConnection> | undefined;

  constructor(options: DrainOptions) {
    this.#options = options;
  }

  /** Emits when the port is to be closed. */
  get closePort(): Observable<void> {
    return this.#closePort;
  }

  /** Emits when the drain ends although sockets are still open. */
  get overdue(): Observable<void> {
    return this.#overdue;
  }

  get isAccepting(): boolean {
    return this.#isAccepting;
  }

  /** The first signal begins the drain, the second ends the grace, further ones change nothing. */
  signal(): void {
    if (this.#begun === undefined) this.#begin();
    else this.#abort();
  }

  /** Counts an event of the port, and passes it on. */
  next(event: ListenEvent): void {
    const { emit } = this.#options;
    if (this.#begun !== undefined) this.#tally.count(event);
    if (event.type === 'closed' && !this.#failed.delete(event.id) && closeReasons[event.reason].fault === 'handler') {
      // The error did not pass through the handler's stream: a decoder threw it, or a relay aborted the connection.
      emit({ type: 'failed', id: event.id, peer: event.peer, error: event.error });
    }
    emit(event);
  }

  /** The handler of a connection failed. An error of the connection's own input is no failure: its close reason names it. */
  failed(connection: SocketConnection, error: unknown): void {
    if (connection.isInputError(error)) return;
    const { registry, emit } = this.#options;
    if (registry.connections.has(connection)) this.#failed.add(connection.id);
    emit({ type: 'failed', id: connection.id, peer: connection.peer, error });
  }

  lastCall(connection: SocketConnection): Data | undefined {
    const { lastCall, emit } = this.#options;
    if (lastCall === undefined) return undefined;
    try {
      const value = lastCall(connection);
      checkArgument('send the last call', 'what lastCall returns', value, dataOrNothing);
      return value;
    } catch (error) {
      emit({ type: 'failed', id: connection.id, peer: connection.peer, callback: 'lastCall', error });
      return undefined;
    }
  }

  /** All connections are closed: reports. Only after a signal, because a server that ended without one has not drained. */
  end(): void {
    const { registry, clock, emit } = this.#options;
    // A copy, because aborting a connection may remove it from the registry.
    const left = new Set(registry.connections);
    this.unsubscribe();
    if (this.#begun === undefined) return;
    emit({ type: 'drained', ...this.#tally.report(left, Math.round(clock.now() - this.#begun)) });
  }

  /**
   * The server was unsubscribed: aborts all connections and cancels the timers. One teardown for all connections, because one
   * for each would take some hundred bytes of each.
   */
  unsubscribe(): void {
    this.#timers.unsubscribe();
    const { registry, lingering } = this.#options;
    for (const connection of registry.connections) connection.abort();
    lingering.close();
    registry.table.end();
  }

  #begin(): void {
    const { announce, grace, clock, registry, emit } = this.#options;
    this.#begun = clock.now();
    const { active, waiting } = registry.counters;
    emit({ type: 'draining', active, waiting });
    this.#after(announce, () => this.#acceptTheLast(Math.min(LAST_ACCEPTS, grace)));
  }

  /**
   * Connections that the kernel has completed already are served, not reset. An iteration of the event loop may bring only one
   * of them, so the port stays open until an iteration brings none, and the handshakes of TLS that have begun are complete.
   * Where another process keeps the socket, they are left to the next process instead.
   */
  #acceptTheLast(left: number): void {
    const { clock, registry } = this.#options;
    registry.parking?.end();
    registry.leaveQueue?.();
    const { accepted } = registry.counters;
    const began = clock.now();
    const look = () => {
      const stillLeft = left - Math.min(clock.now() - began, LONG_ITERATION);
      const areMore = registry.counters.accepted > accepted || registry.handshakes > 0;
      if (areMore && stillLeft > 0) this.#acceptTheLast(stillLeft);
      else this.#stopAccepting();
    };
    if (registry.handshakes > 0) this.#after(HANDSHAKE_POLL, look);
    else afterPoll(clock, look);
  }

  #stopAccepting(): void {
    if (!this.#isAccepting) return;
    this.#isAccepting = false;
    this.#after(this.#options.grace, () => this.#abort());
    this.#closePort.next();
    this.#ask();
  }

  /** Asks the connections to finish: at once, or each at its turn. Until then it is served as before. */
  #ask(): void {
    const time = spreadWithin(this.#options);
    if (time === 0) return this.#each((connection) => connection.drain());
    const { clock, registry } = this.#options;
    const connections = [...registry.connections].filter(isToBeAsked);
    const limit = spreadWithin({ ...this.#options, spread: Number.POSITIVE_INFINITY });
    const spread = new Spread({ clock, time, limit }, connections, (connection) => connection.drain());
    this.#spread = spread;
    this.#timers.add(() => spread.cancel());
  }

  #abort(): void {
    if (this.#aborting) return;
    this.#stopAccepting();
    this.#aborting = true;
    this.#spread?.cancel();
    this.#after(LAST_CLOSES, () => this.#overdue.next());
    this.#options.lingering.close();
    this.#each((connection) => connection.abort());
  }

  /** A few in each iteration of the event loop: fifty thousand at once would delay connections that have something to finish. */
  #each(work: (connection: SocketConnection) => void): void {
    const { clock, registry } = this.#options;
    inSlices(clock, registry.connections, work);
  }

  #after(delay: number, work: () => void): void {
    if (this.#timers.closed) return;
    this.#timers.add(afterDelay(this.#options.clock, delay, work));
  }
}
