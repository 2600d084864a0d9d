import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ClosedEvent, Counters, LiveSet } from '../events.ts';
import { LiveConnections } from './liveConnections.ts';
import type { DrainPlan } from './rehearse.ts';

/**
 * The connections of one open port and their counters. The listener keeps it, and the drain reads it.
 *
 * Each method is one step in the life of a connection. Between two steps `accepted = waiting + active + closed + refused` holds.
 */
export class Registry {
  readonly #counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };
  /** The connections that were taken and whose socket is not closed yet, as users see them. */
  readonly table: LiveConnections;
  /** Handshakes of TLS that have begun, or have their turn later. Such connections wait. */
  handshakes = 0;

  /** @param plan How the server drains. */
  constructor(plan?: DrainPlan) {
    this.table = new LiveConnections(plan);
  }

  /** Live: the object stays the same, and its numbers change. */
  get counters(): Counters {
    return this.#counters;
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
  refuse(connection: SocketConnection): void {
    this.#stopWaiting(connection);
    this.#counters.refused++;
  }

  /** The socket of a connection that was taken is closed. */
  close(connection: SocketConnection, closed: ClosedEvent): void {
    this.#counters.active--;
    this.#counters.closed++;
    this.table.delete(connection, closed);
  }

  #stopWaiting(connection: SocketConnection): void {
    connection.isCountedAsWaiting = false;
    this.#counters.waiting--;
  }
}
