import { throwError } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { cannotAwait } from '../time/virtual.ts';
import type { Address } from '../transport/transport.ts';

/** Node's own, because a test may have replaced the global one when it is needed. */
const realSetImmediate = setImmediate;

/**
 * Finds replies that a server sends after the run of a `TestScheduler`: a promise was resolved too late for the test to see.
 *
 * A `TestScheduler` runs all that is due before the event loop continues. So an action that has not run by then never runs.
 */
export class LateReplies {
  readonly #clock: TestScheduler;
  /** A probe is scheduled. */
  #probing = false;

  constructor(clock: TestScheduler) {
    this.#clock = clock;
  }

  /**
   * Checks a reply, soon after it was sent. An error is reported as unhandled, because no caller is left to throw it to.
   *
   * @param to The address of the client.
   * @param fail Called with an error if the reply is late.
   */
  check({ address, port }: Address, fail: (error: Error) => void): void {
    if (this.#probing) return;
    this.#probing = true;
    let ran = false;
    const probe = this.#clock.schedule(() => {
      ran = true;
    }, 0);
    realSetImmediate(() => {
      this.#probing = false;
      // An error within the run unsubscribes from all that has not run.
      if (ran || probe.closed) return;
      const error = cannotAwait(`answer ${address}:${port} by a promise after the TestScheduler has run`);
      fail(error);
      throwError(() => error).subscribe();
    });
  }
}
