import type { SchedulerLike } from 'rxjs';
import type { ExhaustedEvent, RecoveredEvent } from '../events.ts';

/** Descriptors kept for everything else in the process: files, sockets of its own, the ones a drain needs. */
const RESERVE = 32;

/**
 * Whether the process is about to run out of descriptors, told at the begin and the end of each spell. The end comes a margin
 * below the begin; otherwise a flood of connects, each of which takes what another has just freed, would emit an event each.
 */
export class Spell {
  readonly #limit: number;
  readonly #margin: number;
  readonly #clock: SchedulerLike;
  readonly #tell: (event: ExhaustedEvent | RecoveredEvent) => void;
  /** Connections that were open when it began; `undefined` outside of a spell. */
  #openThen: number | undefined;
  /** Connections in a row that found a descriptor. */
  #row = 0;
  #began = 0;
  #refused = 0;

  /** @param limit How many descriptors the process may have. */
  constructor(limit: number, clock: SchedulerLike, tell: (event: ExhaustedEvent | RecoveredEvent) => void) {
    this.#limit = limit;
    this.#margin = Math.max(1, Math.min(RESERVE, Math.floor(limit / 16)));
    this.#clock = clock;
    this.#tell = tell;
  }

  /**
   * Looks at the descriptor of a connection that was accepted. The system gives out the lowest number that is free: a high one
   * says that all below it are taken.
   *
   * @param open How many connections are open.
   * @returns Whether the connection is to be refused.
   */
  accepted(descriptor: number, open: number): boolean {
    const most = this.#limit - RESERVE;
    if (descriptor < most) {
      // A single low one says only that one was free.
      if (this.#openThen !== undefined && ++this.#row === this.#margin) this.#end();
      return false;
    }
    this.#row = 0;
    if (this.#openThen === undefined) {
      this.#openThen = open;
      this.#began = this.#clock.now();
      this.#refused = 0;
      this.#tell({ type: 'exhausted', limit: this.#limit });
    }
    this.#refused++;
    return true;
  }

  /** A connection has closed. @param open How many are left. */
  closed(open: number): void {
    if (this.#openThen !== undefined && open <= this.#openThen - this.#margin) this.#end();
  }

  #end(): void {
    this.#openThen = undefined;
    this.#tell({ type: 'recovered', refused: this.#refused, duration: this.#clock.now() - this.#began });
  }
}
