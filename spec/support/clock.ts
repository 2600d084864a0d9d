import { VirtualTimeScheduler } from 'rxjs';

/**
 * A virtual clock that moves only when a spec advances it. Between any two of its actions it lets the microtasks run, as an event
 * loop does.
 */
export class Clock extends VirtualTimeScheduler {
  /** Advances by some milliseconds, and runs all actions that are due by then. */
  async advance(ms: number): Promise<void> {
    const until = this.frame + ms;
    await microtasks();
    for (;;) {
      const next = this.actions[0];
      if (next === undefined || next.delay > until) break;
      this.actions.shift();
      this.frame = next.delay;
      const error = next.execute(next.state, next.delay);
      if (error) throw error;
      await microtasks();
    }
    this.frame = until;
  }

  /** Advances in one call, for specs that need no microtasks. */
  jump(ms: number): void {
    this.maxFrames = this.frame + ms;
    this.flush();
    this.frame = this.maxFrames;
  }

  /** Runs everything that is due now. */
  settle(): Promise<void> {
    return this.advance(0);
  }
}

/** Lets all pending microtasks run, and those that they queue. */
export const microtasks = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

/**
 * Resolves in the next iteration of the event loop, after what was pending for it; that has a time slice of its own. A spec that
 * stops the clock first awaits this: otherwise the slice may have begun at an earlier time, and is spent for the rest of the
 * iteration.
 */
export const iteration = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
