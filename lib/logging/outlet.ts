import { Queue } from '../queue.ts';

/** How an {@link Outlet} reaches its reader. */
export interface OutletTarget {
  /**
   * Writes without waiting.
   *
   * @returns How many bytes were taken; 0 while there is no room.
   * @throws What the system says; EPIPE means that the reader has closed.
   */
  write(bytes: Uint8Array): number;
  /** Calls back after so many milliseconds, and keeps no process alive for it. */
  later(work: () => void, ms: number): void;
  /** A clock, in milliseconds. */
  now(): number;
  /** The line that tells how many lines were dropped. */
  note(dropped: number): string;
  /** Is told when something begins to wait for room, and when nothing does any more. */
  waiting?(waits: boolean): void;
}

/** How long a reader that has no room is left alone, in milliseconds. */
const PAUSE = 10;

/**
 * Text on its way to a reader that may hang: what there is no room for waits, up to a limit, and then the oldest lines are
 * dropped. When there is room again, one line says how many those were, in their place. A line is written whole or not at
 * all.
 */
export class Outlet {
  readonly #target: OutletTarget;
  readonly #limit: number;
  readonly #lines = new Queue<Uint8Array>();
  /** What is being written: a line, or the rest of it. */
  #current: Uint8Array | undefined;
  /** Bytes in `#lines`. */
  #held = 0;
  #dropped = 0;
  #stuck = false;
  #tried = 0;
  /** Counts the spells of waiting, so that a callback of an earlier one does nothing. */
  #spell = 0;
  #closed = false;

  /** @param limit Bytes that may wait, beside the line that is being written. */
  constructor(target: OutletTarget, limit: number) {
    this.#target = target;
    this.#limit = limit;
  }

  /** Whether something waits. */
  get waits(): boolean {
    return this.#current !== undefined || this.#lines.size > 0 || this.#dropped > 0;
  }

  /** Writes text now if there is room, and else as soon as there is. */
  write(text: string): void {
    if (this.#closed || text === '') return;
    const line = Buffer.from(text);
    this.#lines.push(line);
    this.#held += line.length;
    // An attempt in vain costs more than a line, so a stuck reader is not asked for each of them.
    if (!this.#stuck || this.#target.now() - this.#tried >= PAUSE) this.flush();
    while (this.#held > this.#limit) {
      this.#held -= this.#lines.shift()?.length ?? 0;
      this.#dropped++;
    }
  }

  /** Writes what waits, as far as there is room. @returns Bytes that were taken. */
  flush(): number {
    let written = 0;
    try {
      for (;;) {
        this.#current ??= this.#next();
        if (this.#current === undefined) break;
        const taken = this.#target.write(this.#current);
        written += taken;
        const whole = taken === this.#current.length;
        this.#current = whole ? undefined : this.#current.subarray(taken);
        if (!whole) break;
      }
    } catch (error) {
      // A reader that is gone does not come back; a full disk may have room again.
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') this.#close();
    }
    this.#settle();
    return written;
  }

  #next(): Uint8Array | undefined {
    if (this.#dropped > 0) {
      const note = Buffer.from(this.#target.note(this.#dropped));
      this.#dropped = 0;
      return note;
    }
    const line = this.#lines.shift();
    this.#held -= line?.length ?? 0;
    return line;
  }

  #close(): void {
    this.#closed = true;
    this.#current = undefined;
    this.#dropped = 0;
    this.#held = 0;
    this.#lines.clear();
  }

  #settle(): void {
    this.#tried = this.#target.now();
    if (this.waits === this.#stuck) return;
    this.#stuck = this.waits;
    this.#spell++;
    this.#target.waiting?.(this.#stuck);
    if (this.#stuck) this.#tryLater(this.#spell);
  }

  #tryLater(spell: number): void {
    this.#target.later(() => {
      if (!this.#stuck || spell !== this.#spell) return;
      this.flush();
      if (this.#stuck && spell === this.#spell) this.#tryLater(spell);
    }, PAUSE);
  }
}
