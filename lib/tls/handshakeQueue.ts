import type { SchedulerLike } from 'rxjs';
import { Queue } from '../queue.ts';
import { nextIteration } from '../time/eventLoop.ts';

/**
 * Handshakes that begin in one iteration of the event loop. One costs up to a millisecond of CPU time (RSA with 2048 bits), and
 * meanwhile no other connection is served.
 */
const HANDSHAKES = 2;

/** Begins a handshake. It returns whether it has, because there may be no use for it any more. */
type Begin = (hasWaited: boolean) => boolean;

/** Where the connections of one listener wait for their handshakes, first in, first out. */
export class HandshakeQueue {
  readonly #clock: SchedulerLike;
  readonly #queued = new Queue<Begin>();
  /** Handshakes that have begun in this iteration. */
  #begun = 0;

  constructor(clock: SchedulerLike) {
    this.#clock = clock;
  }

  /**
   * Begins a handshake: now, or in a later iteration.
   *
   * @param begin Called once.
   */
  add(begin: Begin): void {
    this.#queued.push(begin);
    this.#next(false);
  }

  /** Begins as many handshakes as are left in this iteration. */
  #next(haveWaited: boolean): void {
    while (this.#begun < HANDSHAKES && this.#queued.size > 0) {
      const hasBegun = this.#queued.shift()?.(haveWaited);
      if (hasBegun && this.#begun++ === 0) nextIteration(this.#clock, this.#nextIteration);
    }
  }

  readonly #nextIteration = (): void => {
    this.#begun = 0;
    this.#next(true);
  };
}
