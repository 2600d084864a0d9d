import { fires } from '../time/fires.ts';
import { monotonic } from '../time/monotonic.ts';

/** A connection whose input is paused, so that it does not notice a reset by reading. */
export interface Polled {
  /** Whether it has to be polled. It never changes, and costs no system call. */
  readonly needsPolling: boolean;
  /** Whether its peer is still connected, if that is known. It costs one system call. */
  readonly alive: boolean | undefined;
  /** Its peer is no longer connected. */
  died(): void;
}

/** Milliseconds between two polls, and how many connections one poll covers. */
const EVERY = 25;
const BATCH = 1000;
/** Milliseconds that one poll may take. On a busy machine a system call takes long. */
const MAX_TIME = 5;

/** Dead connections that are reported in one event-loop iteration, because each of them closes a socket. */
const DEATHS_PER_ITERATION = 50;

/**
 * Notices resets of sockets that are not being read.
 *
 * The kernel reports no such reset, with keep-alive or without. But it no longer knows the peer of a socket that was reset, and
 * that can be queried. One timer serves all connections of a listener, and it runs only while one of them is paused.
 */
export class LivenessPoller {
  readonly #polled = new Set<Polled>();
  #timer: NodeJS.Timeout | undefined;
  /** The timer is pending, and will fire. */
  #isArmed = false;
  /** When the next poll is due, in milliseconds of the clock. */
  #pollAt = 0;

  add(polled: Polled): void {
    if (!polled.needsPolling) return;
    this.#polled.add(polled);
    if (!this.#isArmed) this.#arm();
  }

  delete(polled: Polled): void {
    this.#polled.delete(polled);
  }

  /** A timer that a fake clock may drop is replaced whenever a connection is added, and is due when the old one was. */
  #arm(): void {
    const now = monotonic.now();
    const left = this.#pollAt - now;
    const delay = left > 0 && left <= EVERY ? left : EVERY;
    this.#pollAt = now + delay;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), Math.round(delay)).unref();
    this.#isArmed = fires(this.#timer);
  }

  #poll(): void {
    this.#isArmed = false;
    if (this.#polled.size === 0) return;
    this.#pollAt = 0;
    // Re-arm before a death is reported, because user code that it calls may throw.
    this.#arm();
    this.#pollSome(Math.min(BATCH, this.#polled.size));
  }

  #pollSome(count: number): void {
    const until = performance.now() + MAX_TIME;
    let left = count;
    let deaths = 0;
    for (const polled of this.#polled) {
      if (left-- === 0 || (left % 64 === 0 && performance.now() > until)) return;
      // It moves to the end of the queue, so that the next poll begins with those behind it.
      this.#polled.delete(polled);
      if (polled.alive !== false) {
        this.#polled.add(polled);
        continue;
      }
      if (++deaths === DEATHS_PER_ITERATION) setImmediate(() => this.#pollSome(left));
      polled.died();
      if (deaths === DEATHS_PER_ITERATION) return;
    }
  }
}
