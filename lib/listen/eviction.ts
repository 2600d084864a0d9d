import type { SchedulerLike } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ConnectionView } from '../events.ts';
import { describe } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import type { Registry } from './registry.ts';

/** Compares what two connections are worth: negative if the first is to be closed before the second, as in `Array.sort`. */
export type CompareWorth = (a: ConnectionView, b: ConnectionView) => number;

/** What happens to a connection for which there is no place. */
export type Overflow =
  | 'refuse'
  | 'park'
  | 'evict'
  | {
      /** As `evict`, with an order of your own: the connection that is worth least by it is closed. */
      readonly evict: CompareWorth;
    };

/** Milliseconds after which a connection to evict is looked for again, while others wait and there was none. */
const RETRY = 50;

/** The same, after the comparator has failed: each time is an event. */
const FAILED_RETRY = 1000;

/** Milliseconds for which those that were chosen are still those that are worth least. */
const FRESH = 10;

/** How many are chosen in one look at all connections, so that a flood of newcomers costs few looks. */
const CHOSEN = 32;

export interface EvictionOptions {
  readonly clock: SchedulerLike;
  readonly registry: Registry;
  /** @default the one that has been idle longest, at a frame boundary */
  readonly worth: CompareWorth | undefined;
  /** How many connections wait for a place. */
  readonly waiting: () => number;
  /** Milliseconds for which those that wait will still wait, at least. */
  readonly patience: () => number;
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
  /** Those that were worth least at the last look, the best of them first. */
  #chosen: Candidate[] = [];
  /** When that was. */
  #lookedAt = 0;
  /** When to look whether connections wait still. */
  #lookAt = NEVER;
  /** There was none to evict: in a flood, not each newcomer causes a look at all connections. */
  #noneUntil = 0;

  constructor(options: EvictionOptions) {
    this.#options = options;
    this.#timer = new DeadlineTimer(options.clock, this);
  }

  /** Connections may wait for places: evicts as many as are needed. */
  makeRoom(): void {
    const { clock, waiting, patience, isFull } = this.#options;
    const now = clock.now();
    while (this.#leaving.size < waiting() && isFull() && now >= this.#noneUntil) {
      const connection = this.#leastWorth(now);
      if (connection === undefined) {
        this.#noneUntil = Math.max(this.#noneUntil, now + RETRY);
        break;
      }
      this.#leaving.add(connection);
      // It has to be gone while the other one still waits.
      connection.evict(patience() / 2);
    }
    this.#lookAt = waiting() > 0 ? now + RETRY : NEVER;
    this.#timer.set();
  }

  closed(connection: SocketConnection): void {
    this.#leaving.delete(connection);
    if (this.#chosen.length > 0) this.#chosen = this.#chosen.filter((one) => one.connection !== connection);
  }

  /** The port is closed. */
  close(): void {
    this.#lookAt = NEVER;
    this.#timer.clear();
  }

  #leastWorth(now: number): SocketConnection | undefined {
    if (now - this.#lookedAt >= FRESH) this.#chosen = [];
    for (let isSecondLook = false; ; isSecondLook = true) {
      for (let next = this.#chosen.pop(); next !== undefined; next = this.#chosen.pop()) {
        if (this.#isStill(next)) return next.connection;
      }
      if (isSecondLook) return undefined;
      this.#look();
      this.#lookedAt = now;
    }
  }

  /** Whether what was chosen may be evicted now: it may have become active since. */
  #isStill({ connection, activeAt }: Candidate): boolean {
    return this.#isEvictable(connection) && (this.#options.worth !== undefined || activeOf(connection) === activeAt);
  }

  #isEvictable(connection: SocketConnection): boolean {
    const { registry, worth } = this.#options;
    if (connection.over || connection.isDraining || !registry.connections.has(connection)) return false;
    return worth !== undefined || connection.isAtRest;
  }

  /** Chooses those that are worth least. */
  #look(): void {
    const { registry, worth, failed } = this.#options;
    const chosen: Candidate[] = [];
    try {
      for (const connection of registry.connections) {
        if (!this.#isEvictable(connection)) continue;
        const candidate = { connection, activeAt: worth === undefined ? activeOf(connection) : 0 };
        // Decided in one call for most connections, because user code may be called.
        if (chosen.length === CHOSEN && compare(worth, chosen[0] as Candidate, candidate) <= 0) continue;
        let at = chosen.length;
        while (at > 0 && compare(worth, chosen[at - 1] as Candidate, candidate) <= 0) at--;
        chosen.splice(at, 0, candidate);
        if (chosen.length > CHOSEN) chosen.shift();
      }
      this.#chosen = chosen;
    } catch (error) {
      this.#noneUntil = this.#options.clock.now() + FAILED_RETRY;
      failed(error);
    }
  }

  due(): number {
    return this.#lookAt;
  }

  expire(): void {
    this.makeRoom();
  }
}

interface Candidate {
  readonly connection: SocketConnection;
  /** When a byte last came or went, if that decides. */
  readonly activeAt: number;
}

const activeOf = ({ watchdog }: SocketConnection): number => watchdog.lastActivity;

const NEVER = Number.POSITIVE_INFINITY;

function compare(worth: CompareWorth | undefined, a: Candidate, b: Candidate): number {
  if (worth === undefined) return a.activeAt - b.activeAt;
  const difference: unknown = worth(a.connection, b.connection);
  if (typeof difference === 'number' && !Number.isNaN(difference)) return difference;
  throw new TypeError(`Cannot evict: the comparator must return a number, not ${describe(difference)}`);
}
