import { fires } from '../time/fires.ts';
import { monotonic } from '../time/monotonic.ts';

/** Somebody whose input is held back, and who would therefore not notice that his peer is gone. */
export interface Polled {
  /** Whether it has to be asked. It never changes, and costs no system call. */
  readonly needsPolling: boolean;
  /** Whether the connection still stands, if that can be told. Cheap: one call of the system. */
  readonly alive: boolean | undefined;
  /** It does not. */
  died(): void;
}

/** How often those who are held are looked at, in milliseconds, and how many of them at a time. */
const EVERY = 25;
const AT_A_TIME = 1000;
/** Milliseconds that one look may take. On a machine that is busy a call of the system takes long. */
const LOOK = 5;

/** Dead ones that are told in one iteration of the event loop: each of them closes a socket. */
const DEATHS_A_TURN = 50;

/**
 * Notices resets of sockets that are not being read.
 *
 * The kernel tells nobody about those, keep-alive or not. But it no longer knows the peer of a socket that was reset, and
 * that can be asked for. One timer does it for all connections of a listener, and it runs only while somebody is paused.
 */
export class LivenessPoller {
  readonly #polled = new Set<Polled>();
  #timer: NodeJS.Timeout | undefined;
  /** The timer is pending, and will fire. */
  #armed = false;
  /** When they are looked at next, in milliseconds of the clock. */
  #lookAt = 0;

  add(held: Polled): void {
    if (!held.needsPolling) return;
    this.#polled.add(held);
    if (!this.#armed) this.#arm();
  }

  delete(held: Polled): void {
    this.#polled.delete(held);
  }

  /** One that a fake clock may drop is replaced whenever a connection is held, and fires when it would have fired. */
  #arm(): void {
    const now = monotonic.now();
    const left = this.#lookAt - now;
    const delay = left > 0 && left <= EVERY ? left : EVERY;
    this.#lookAt = now + delay;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.round(delay)).unref();
    this.#armed = fires(this.#timer);
  }

  #look(): void {
    this.#armed = false;
    if (this.#polled.size === 0) return;
    this.#lookAt = 0;
    // Before any that died is told: what it calls may throw.
    this.#arm();
    this.#ask(Math.min(AT_A_TIME, this.#polled.size));
  }

  #ask(many: number): void {
    const until = performance.now() + LOOK;
    let left = many;
    let deaths = 0;
    for (const held of this.#polled) {
      if (left-- === 0 || (left % 64 === 0 && performance.now() > until)) return;
      // To the end of the line: those behind have their turn next time.
      this.#polled.delete(held);
      if (held.alive !== false) {
        this.#polled.add(held);
        continue;
      }
      if (++deaths === DEATHS_A_TURN) setImmediate(() => this.#ask(left));
      held.died();
      if (deaths === DEATHS_A_TURN) return;
    }
  }
}
