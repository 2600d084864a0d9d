import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ConnectionView } from '../events.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import type { Registry } from './registry.ts';

/** Compares what two connections are worth: negative if the first is to be closed before the second, as in `Array.sort`. */
export type Worth = (a: ConnectionView, b: ConnectionView) => number;

/** Milliseconds after which a connection to evict is looked for again, while others wait. */
const RETRY = 50;

export interface EvictionOptions {
  readonly clock: SchedulerLike;
  readonly registry: Registry;
  /** @default the one that has been idle longest, at a frame boundary */
  readonly worth: Worth | undefined;
  /** How many connections wait for a place. */
  readonly waiting: () => number;
  /** Whether no place is free. */
  readonly isFull: () => boolean;
  /** The function of the user has failed. */
  readonly failed: (error: unknown) => void;
}

/**
 * Makes room in a full server: closes, for each connection that waits, the one that is worth least, in good order.
 *
 * One that was evicted finishes the requests in progress, so its place is free a little later. Meanwhile no other is evicted for the
 * same newcomer. By default only connections at a frame boundary without work are evicted, so that no request is lost; a server
 * without any lets the newcomers wait, and looks again.
 */
export class Eviction implements DeadlineOwner {
  readonly #options: EvictionOptions;
  readonly #timer: DeadlineTimer;
  /** Those that were evicted and are not closed yet. */
  readonly #leaving = new Set<SocketConnection>();
  #retryAt = Number.POSITIVE_INFINITY;

  constructor(options: EvictionOptions) {
    this.#options = options;
    this.#timer = new DeadlineTimer(options.clock, this);
  }

  /** Connections may wait for places: evicts as many as are needed. */
  makeRoom(): void {
    const { clock, waiting, isFull } = this.#options;
    while (this.#leaving.size < waiting() && isFull()) {
      const connection = this.#leastWorth();
      if (connection === undefined) break;
      // The comparator, which is code of the user, may have closed it.
      if (connection.over || connection.isDraining) continue;
      this.#leaving.add(connection);
      connection.evict();
    }
    this.#retryAt = waiting() > 0 ? clock.now() + RETRY : Number.POSITIVE_INFINITY;
    this.#timer.set();
  }

  closed(connection: SocketConnection): void {
    this.#leaving.delete(connection);
  }

  /** The port is closed. */
  close(): void {
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#timer.clear();
  }

  #leastWorth(): SocketConnection | undefined {
    const { registry, worth } = this.#options;
    let least: SocketConnection | undefined;
    try {
      for (const connection of registry.connections) {
        if (connection.over || connection.isDraining) continue;
        if (worth === undefined && !connection.isAtRest) continue;
        if (least === undefined || compare(worth, connection, least) < 0) least = connection;
      }
    } catch (error) {
      this.#options.failed(error);
      return undefined;
    }
    return least;
  }

  due(): number {
    return this.#retryAt;
  }

  expire(): void {
    this.makeRoom();
  }
}

function compare(worth: Worth | undefined, a: SocketConnection, b: SocketConnection): number {
  if (worth === undefined) return a.watchdog.lastActivity - b.watchdog.lastActivity;
  const difference: unknown = worth(a, b);
  if (typeof difference === 'number' && !Number.isNaN(difference)) return difference;
  throw new TypeError(`Cannot evict: the comparator must return a number, not ${String(difference)}`);
}
