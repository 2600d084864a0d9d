import { closeReasons } from '../connection/closing.ts';
import type { DrainReport, ListenEvent } from '../events.ts';

/** What became of the connections from the begin of a drain on: the figures of its report. */
export class DrainTally {
  #drained = 0;
  #aborted = 0;
  #refused = 0;
  #unsent = 0;

  count(event: ListenEvent): void {
    if (event.type === 'refused') this.#refused++;
    if (event.type !== 'closed') return;
    if (closeReasons[event.reason].fault === 'server') this.#aborted++;
    else this.#drained++;
    this.#unsent += event.unsent;
  }

  /**
   * @param left Connections whose sockets are not closed: they count as aborted.
   * @param duration Milliseconds from the signal to the end.
   */
  report(left: ReadonlySet<{ readonly unsent: number }>, duration: number): DrainReport {
    let unsent = this.#unsent;
    for (const connection of left) unsent += connection.unsent;
    return {
      drained: this.#drained,
      aborted: this.#aborted + left.size,
      refused: this.#refused,
      unsent,
      duration,
    };
  }
}
