import type { SchedulerLike } from 'rxjs';

/**
 * Which of the waiting connections is handed out next.
 *
 * - `fifo`: the one that has waited longest.
 * - `newest`: the one that has waited least. If the room is full, the one that has waited longest is refused for it.
 * - `adaptive`: `fifo`, and `newest` under sustained overload. The clients that have waited long have given up by then, or will have
 *   before they are served, so that serving them first would be in vain.
 */
export const orders = ['fifo', 'newest', 'adaptive'] as const;

/** Which connection in the waiting room is next: see the option `waiting.order`. */
export type WaitingOrder = (typeof orders)[number];

/**
 * The rule of CoDel (RFC 8289) decides when it turns: the wait was above the target for a whole interval. The values are those of
 * Facebook's "Fail at Scale" (ACM Queue 13.8, 2015), which uses them for the same purpose.
 */
const TARGET = 5;
const INTERVAL = 100;

/** Says whether the newest connection is next. */
export class HandOutOrder {
  readonly #order: WaitingOrder;
  readonly #clock: SchedulerLike;
  /** When the longest wait was last below the target, or none waited. */
  #calmAt = 0;

  constructor(order: WaitingOrder, clock: SchedulerLike) {
    this.#order = order;
    this.#clock = clock;
  }

  /** None has waited until now. */
  emptied(): void {
    if (this.#order === 'adaptive') this.#calmAt = this.#clock.now();
  }

  /** @param since When the one that has waited longest arrived. */
  isNewestFirst(since: number): boolean {
    if (this.#order !== 'adaptive') return this.#order === 'newest';
    const now = this.#clock.now();
    if (now - since < TARGET) this.#calmAt = now;
    return now - this.#calmAt >= INTERVAL;
  }
}
