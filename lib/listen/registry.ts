import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ClosedEvent, Counters, LiveSet, RefusalReason, Resources } from '../events.ts';
import { LiveConnections } from './liveConnections.ts';
import type { DrainPlan } from './rehearse.ts';

/** Reasons that are counted apart. Any more, which only a user's function can give, are counted as `other`. */
const REASONS = 100;

/**
 * The connections of one open port and their counters. The listener keeps it, and the drain reads it.
 *
 * Each method is one step in the life of a connection. Between two steps `accepted = waiting + active + closed + refused` holds.
 */
export class Registry {
  readonly #counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };
  readonly #refusals = new Map<RefusalReason, number>();
  /** The connections that were taken and whose socket is not closed yet, as users see them. */
  readonly table: LiveConnections;
  /** Handshakes of TLS that have begun, or have their turn later. Such connections wait. */
  handshakes = 0;

  /** Stops and goes on accepting, where `overflow` says so. */
  parking: { end(): void } | undefined;

  /** Closes the port, where another process keeps its socket: the clients in its queue are for the next process. */
  leaveQueue: (() => void) | undefined;

  /** @param plan How the server drains. */
  constructor(plan?: DrainPlan) {
    this.table = new LiveConnections(plan);
  }

  /** Live: the object stays the same, and its numbers change. */
  get counters(): Counters {
    return this.#counters;
  }

  /** How many connections were refused for each reason. Live, too. */
  get refusals(): ReadonlyMap<RefusalReason, number> {
    return this.#refusals;
  }

  /**
   * What the event `listening` shows of it. What is printed of the resources, or stored as JSON, are the numbers of that moment.
   *
   * @param budget The memory that all connections hold together.
   * @param descriptors How many the process may have.
   */
  live(budget: { readonly total: number; readonly limit: number }, descriptors: number) {
    const handshakes = () => this.handshakes;
    const resources: Resources = {
      get held() {
        return budget.total;
      },
      budget: budget.limit,
      get handshakes() {
        return handshakes();
      },
      descriptors,
    };
    const { counters, refusals, table: connections } = this;
    return { counters, refusals, resources, connections };
  }

  get connections(): LiveSet<SocketConnection> {
    return this.table.all;
  }

  /** Connections whose socket is open and that were not refused: those that wait and those that were taken. */
  get open(): number {
    return this.#counters.waiting + this.#counters.active;
  }

  /** A connection was accepted, and waits. @returns Its number: 1, 2, 3 … */
  accept(): number {
    this.#counters.waiting++;
    return ++this.#counters.accepted;
  }

  /** An operator took a connection that waited. */
  take(connection: SocketConnection): void {
    this.#stopWaiting(connection);
    this.#counters.active++;
    this.table.add(connection);
  }

  /** A connection that waited will not be served. */
  refuse(connection: SocketConnection, reason: RefusalReason): void {
    this.#stopWaiting(connection);
    this.#countRefusal(reason);
  }

  /** A connection was refused when it was accepted. */
  refuseAtAccept(reason: RefusalReason): void {
    this.#counters.waiting--;
    this.#countRefusal(reason);
  }

  /** The socket of a connection that was taken is closed. */
  close(connection: SocketConnection, closed: ClosedEvent): void {
    this.#counters.active--;
    this.#counters.closed++;
    this.table.delete(connection, closed);
  }

  #countRefusal(reason: RefusalReason): void {
    this.#counters.refused++;
    const counted = this.#refusals.has(reason) || this.#refusals.size < REASONS ? reason : 'other';
    this.#refusals.set(counted, (this.#refusals.get(counted) ?? 0) + 1);
  }

  #stopWaiting(connection: SocketConnection): void {
    connection.isCountedAsWaiting = false;
    this.#counters.waiting--;
  }
}
