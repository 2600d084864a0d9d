import { Queue } from '../queue.ts';

/** Milliseconds of one iteration of the event loop. */
const TURN = 5;

const RESOLVED = Promise.resolve();

/**
 * Runs work in order, in a later microtask than the one that it was handed in. When there is so much of it that the event loop
 * would stand still, the rest runs in later iterations of that.
 */
export class Later {
  readonly #waiting = new Queue<() => void>();
  #armed = false;
  /** When the work began that has gone on since, in one iteration. */
  #began: number | undefined;

  push(work: () => void): void {
    this.#waiting.push(work);
    if (this.#armed) return;
    this.#armed = true;
    void RESOLVED.then(() => this.#run());
  }

  #run(): void {
    const waiting = this.#waiting;
    const now = performance.now();
    this.#began ??= now;
    let isOver = false;
    try {
      // What is handed in meanwhile is for a later microtask.
      for (let left = waiting.size; left > 0 && !isOver; left--) {
        waiting.shift()?.();
        isOver = left % 16 === 0 && performance.now() - this.#began > TURN;
      }
    } finally {
      // One that throws keeps no other from its turn.
      this.#armed = waiting.size > 0;
      if (!this.#armed || isOver) this.#began = undefined;
      if (isOver && this.#armed) setImmediate(() => this.#run());
      else if (this.#armed) void RESOLVED.then(() => this.#run());
    }
  }
}
