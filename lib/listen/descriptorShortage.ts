import type { SchedulerLike } from 'rxjs';
import type { ExhaustedEvent, RecoveredEvent } from '../events.ts';

/** Descriptors that are kept for all other uses in the process: files, sockets of its own, those that a drain needs. */
export const RESERVE = 32;

/**
 * Whether the process is about to run out of descriptors. Emits an event at the begin and at the end of each shortage.
 *
 * The end comes a margin below the begin. Otherwise a flood of connects would emit an event for each one, because each takes
 * the descriptor that another has just freed.
 */
export class DescriptorShortage {
  readonly #limit: number;
  readonly #margin: number;
  readonly #clock: SchedulerLike;
  readonly #emit: (event: ExhaustedEvent | RecoveredEvent) => void;
  /** Connections that were open when the shortage began; `undefined` when there is none. */
  #openAtBegin: number | undefined;
  /** Accepted connections in a row with a descriptor below the reserve. */
  #row = 0;
  #began = 0;
  #refused = 0;

  /** @param limit How many descriptors the process may have. */
  constructor(limit: number, clock: SchedulerLike, emit: (event: ExhaustedEvent | RecoveredEvent) => void) {
    this.#limit = limit;
    this.#margin = Math.max(1, Math.min(RESERVE, Math.floor(limit / 16)));
    this.#clock = clock;
    this.#emit = emit;
  }

  /**
   * Counts and checks the descriptor of an accepted connection. The system assigns the lowest number that is free, so a high
   * number means that all numbers below it are in use.
   *
   * @param open How many connections are open.
   * @returns Whether to refuse the connection.
   */
  refuses(descriptor: number, open: number): boolean {
    if (descriptor < this.#limit - RESERVE) {
      // A single low number shows only that one descriptor was free.
      if (this.#openAtBegin !== undefined && ++this.#row === this.#margin) this.#end();
      return false;
    }
    this.#row = 0;
    if (this.#openAtBegin === undefined) this.#begin(open);
    this.#refused++;
    return true;
  }

  /** A connection has closed. @param open How many are left. */
  closed(open: number): void {
    if (this.#openAtBegin !== undefined && open <= this.#openAtBegin - this.#margin) this.#end();
  }

  #begin(open: number): void {
    this.#openAtBegin = open;
    this.#began = this.#clock.now();
    this.#refused = 0;
    this.#emit({ type: 'exhausted', limit: this.#limit });
  }

  #end(): void {
    this.#openAtBegin = undefined;
    this.#emit({ type: 'recovered', refused: this.#refused, duration: this.#clock.now() - this.#began });
  }
}
