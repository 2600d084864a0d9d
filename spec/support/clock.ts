import { VirtualTimeScheduler } from 'rxjs';

/**
 * A virtual clock that stands still until it is told to go on, and lets the microtasks run between any two of its tasks,
 * as an event loop does.
 */
export class Clock extends VirtualTimeScheduler {
  /** Goes on by some milliseconds, with all that is due in them. */
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

  /** Goes on in one go, for what needs no microtasks. */
  jump(ms: number): void {
    this.maxFrames = this.frame + ms;
    this.flush();
    this.frame = this.maxFrames;
  }

  /** All that can happen without time going by. */
  settle(): Promise<void> {
    return this.advance(0);
  }
}

/** Lets all microtasks run that are there, and those that they make. */
export const microtasks = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
