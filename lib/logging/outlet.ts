import { Queue } from '../queue.ts';

/** What an {@link Outlet} writes to. */
export interface OutletTarget {
  /**
   * Writes without waiting.
   *
   * @returns How many bytes were taken; 0 while there is no room.
   * @throws The error of the system. EPIPE means that the reader has closed.
   */
  write(bytes: Uint8Array): number;
  /** Calls back after this many milliseconds. Does not keep the process alive. */
  later(work: () => void, ms: number): void;
  /** A clock, in milliseconds. */
  now(): number;
  /** The line that reports how many lines were dropped. */
  note(dropped: number): string;
  /** Called when lines begin to wait for room, and when none wait any more. */
  waiting?(waits: boolean): void;
}

/** How long to wait before the next attempt to write, in milliseconds. */
const PAUSE = 10;

/**
 * Writes lines to a reader that may stop reading. Lines wait while there is no room, up to a limit; then the oldest are
 * dropped. When there is room again, one line in their place reports how many were dropped. A line is written whole or not at
 * all.
 */
export class Outlet {
  readonly #target: OutletTarget;
  readonly #limit: number;
  readonly #lines = new Queue<Uint8Array>();
  /** The line that is being written, or the rest of it. */
  #current: Uint8Array | undefined;
  /** Bytes in `#lines`. */
  #held = 0;
  #dropped = 0;
  #isStuck = false;
  /** When it was last attempted to write. */
  #tried = 0;
  /** Counts how often lines began or ceased to wait, so that a callback from before does nothing. */
  #changes = 0;
  #closed = false;

  /** @param limit How many bytes may wait, besides the line that is being written. */
  constructor(target: OutletTarget, limit: number) {
    this.#target = target;
    this.#limit = limit;
  }

  /** Whether anything waits to be written. */
  get waits(): boolean {
    return this.#current !== undefined || this.#lines.size > 0 || this.#dropped > 0;
  }

  /** Writes text at once if there is room, otherwise as soon as there is. */
  write(text: string): void {
    if (this.#closed || text === '') return;
    const line = Buffer.from(text);
    this.#lines.push(line);
    this.#held += line.length;
    // A vain attempt costs more than a line. So while the reader takes nothing, not every line attempts to write.
    if (!this.#isStuck || this.#target.now() - this.#tried >= PAUSE) this.flush();
    while (this.#held > this.#limit) {
      this.#held -= this.#lines.shift()?.length ?? 0;
      this.#dropped++;
    }
  }

  /** Writes what waits, as far as there is room. @returns How many bytes were taken. */
  flush(): number {
    let written = 0;
    try {
      for (;;) {
        this.#current ??= this.#next();
        if (this.#current === undefined) break;
        const taken = this.#target.write(this.#current);
        written += taken;
        const isWhole = taken === this.#current.length;
        this.#current = isWhole ? undefined : this.#current.subarray(taken);
        if (!isWhole) break;
      }
    } catch (error) {
      // A closed reader stays closed. Other errors may pass: a full disk may have room again.
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
    if (this.waits === this.#isStuck) return;
    this.#isStuck = this.waits;
    this.#changes++;
    this.#target.waiting?.(this.#isStuck);
    if (this.#isStuck) this.#tryLater(this.#changes);
  }

  #tryLater(changes: number): void {
    this.#target.later(() => {
      if (!this.#isStuck || changes !== this.#changes) return;
      this.flush();
      if (this.#isStuck && changes === this.#changes) this.#tryLater(changes);
    }, PAUSE);
  }
}
