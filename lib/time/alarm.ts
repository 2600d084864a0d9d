import type { SchedulerLike } from 'rxjs';
import { monotonic } from './monotonic.ts';

/** What an {@link Alarm} watches over. */
export interface AlarmOwner {
  /** When something is due, in milliseconds of the clock; `Infinity` for never. Asked often: it must be cheap. */
  due(): number;
  /** It is due now, and was still due after what had been waiting to be read was read. */
  expire(): void;
}

/**
 * A timer that is armed once and re-armed lazily. What pushes the due time back (a byte, a value) costs nothing: when
 * the timer goes off it asks again, and sleeps for what is left.
 *
 * After a freeze of the process (a paused machine, SIGSTOP, a long garbage collection) timers run before the reads that
 * have been waiting, and everyone would be found silent. So a real timer that finds its time over lets the event loop
 * poll, twice, and looks again before it tells anybody.
 *
 * It does not keep the process alive: what it watches over does.
 */
export class Alarm {
  readonly #clock: SchedulerLike;
  readonly #owner: AlarmOwner;
  #armedFor = Number.POSITIVE_INFINITY;
  #disarm: (() => void) | undefined;

  constructor(clock: SchedulerLike, owner: AlarmOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** Says that what is due may have come nearer, or have come to be. */
  set(): void {
    const due = this.#owner.due();
    if (due >= this.#armedFor) return;
    this.#disarm?.();
    this.#arm(due);
  }

  /** Forgets everything; `set` begins anew. */
  clear(): void {
    this.#disarm?.();
    this.#disarm = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #arm(due: number): void {
    if (due === Number.POSITIVE_INFINITY) {
      this.clear();
      return;
    }
    this.#armedFor = due;
    const delay = Math.max(0, due - this.#clock.now());
    if (this.#clock === monotonic) {
      // Rounded up: a timer that goes off a fraction early would find itself early and go round again. Node's timers
      // hold 31 bits of milliseconds; a longer wait is a few short ones, as looking again costs nothing.
      const timer = setTimeout(this.#goOff, Math.min(Math.ceil(delay), 0x7fffffff)).unref();
      this.#disarm = () => clearTimeout(timer);
    } else {
      const action = this.#clock.schedule(this.#goOff, delay);
      this.#disarm = () => action.unsubscribe();
    }
  }

  readonly #goOff = (): void => {
    const due = this.#owner.due();
    if (due > this.#clock.now()) this.#arm(due);
    else if (this.#clock === monotonic) this.#poll(2);
    else this.#ring();
  };

  /** These turns keep the process alive: an event loop with nothing else to do sleeps over an immediate that does not. */
  #poll(turns: number): void {
    // Not unref'd: a loop that has nothing else to do would sleep until the next event before it runs this, and on a quiet
    // server that is seconds away. It keeps the process for two turns at most.
    const turn = setImmediate(() => (turns > 1 ? this.#poll(turns - 1) : this.#lookAgain()));
    this.#disarm = () => clearImmediate(turn);
  }

  #lookAgain(): void {
    const due = this.#owner.due();
    if (due > this.#clock.now()) this.#arm(due);
    else this.#ring();
  }

  #ring(): void {
    this.clear();
    this.#owner.expire();
  }
}
