/** Somebody whose input is held back, and who would therefore not notice that his peer is gone. */
export interface Pulsed {
  /** Whether the connection still stands, if that can be told. Cheap: one call of the system. */
  readonly alive: boolean | undefined;
  /** It does not. */
  died(): void;
}

/** How often those who are held are looked at, in milliseconds, and how many of them at a time. */
const EVERY = 25;
const AT_A_TIME = 1000;

/**
 * Notices resets of sockets that are not being read.
 *
 * The kernel tells nobody about those, keep-alive or not. But it no longer knows the peer of a socket that was reset, and
 * that can be asked for. One timer does it for all connections of a listener, and it runs only while somebody is paused.
 */
export class Pulse {
  readonly #held = new Set<Pulsed>();
  #timer: NodeJS.Timeout | undefined;

  watch(held: Pulsed): void {
    // Where the transport cannot tell, or needs not be asked.
    if (held.alive === undefined) return;
    this.#held.add(held);
    this.#timer ??= setInterval(() => this.#look(), EVERY).unref();
  }

  unwatch(held: Pulsed): void {
    this.#held.delete(held);
  }

  #look(): void {
    if (this.#held.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    let left = Math.min(AT_A_TIME, this.#held.size);
    for (const held of this.#held) {
      if (left-- === 0) break;
      // To the end of the line: those behind have their turn next time.
      this.#held.delete(held);
      if (held.alive !== false) this.#held.add(held);
      else held.died();
    }
  }
}
