import { Queue } from '../queue.ts';

/** Milliseconds for which microtasks may occupy one iteration of the event loop. */
const TIME_SLICE = 5;

const RESOLVED = Promise.resolve();

/** Calls back later, and never within the call. */
export type Defer = (work: () => void) => void;

/**
 * Runs callbacks in order, each in a later microtask than the one that pushed it.
 *
 * Microtasks run before the event loop continues. So after {@link TIME_SLICE} ms the rest is left to the next iterations;
 * otherwise a large amount of work would stop the event loop.
 */
export class MicrotaskQueue {
  readonly #waiting = new Queue<() => void>();
  #armed = false;
  /** When the work of this iteration began; `undefined` while nothing waits. */
  #sliceStart: number | undefined;

  push(work: () => void): void {
    this.#waiting.push(work);
    if (this.#armed) return;
    // The flag last, because no stack may be left for the call: then the next push arms it.
    void RESOLVED.then(() => this.#run());
    this.#armed = true;
  }

  #run(): void {
    const waiting = this.#waiting;
    const now = performance.now();
    this.#sliceStart ??= now;
    let isSpent = false;
    try {
      // Callbacks that are pushed meanwhile run in a later microtask.
      for (let left = waiting.size; left > 0 && !isSpent; left--) {
        waiting.shift()?.();
        isSpent = left % 16 === 0 && performance.now() - this.#sliceStart > TIME_SLICE;
      }
    } finally {
      // Also after a callback has thrown, because the others must still run.
      this.#armed = waiting.size > 0;
      if (!this.#armed || isSpent) this.#sliceStart = undefined;
      if (isSpent && this.#armed) setImmediate(() => this.#run());
      else if (this.#armed) void RESOLVED.then(() => this.#run());
    }
  }
}
