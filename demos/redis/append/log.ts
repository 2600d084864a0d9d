import { closeSync, fstatSync, fsync, fsyncSync, writeSync } from 'node:fs';
import { asyncScheduler, interval, type SchedulerLike, type Subscription } from 'rxjs';
import { bulks, Pieces } from '../resp/reply.ts';
import type { Request } from '../resp/request.ts';

/** The file that a log is written to. */
export interface LogFile {
  /** @returns How many bytes were written, which may be fewer. */
  write(bytes: Uint8Array): number;
  /** Calls back when everything written is on the disk. */
  sync(done: (error: Error | null) => void): void;
  /** Makes sure of it, and closes. */
  close(): void;
}

/** An open descriptor as a {@link LogFile}. */
export const logFile = (descriptor: number): LogFile => ({
  write: (bytes) => writeSync(descriptor, bytes),
  sync: (done) => fsync(descriptor, done),
  close: () => {
    fsyncSync(descriptor);
    closeSync(descriptor);
  },
});

/** How large it is now, in bytes. */
export const sizeOf = (descriptor: number): number => fstatSync(descriptor).size;

/**
 * The append-only log: every change as the command that makes it again.
 *
 * Changes are handed to the system by {@link flush}, before their replies leave: who was told OK loses nothing when
 * this process dies. They are forced to the disk once a second, so a power cut loses a second.
 */
export class Log {
  readonly #file: LogFile;
  readonly #timer: Subscription;
  #unwritten = new Pieces();
  #size: number;
  #unsynced = false;
  #syncing = false;
  /** What {@link together} has gathered. */
  #group: Request[] | undefined;
  #writeProblem: string | undefined;
  #syncProblem: string | undefined;

  /**
   * @param file What to write to.
   * @param size How much is in it already, in bytes.
   * @param scheduler The clock of the second.
   */
  constructor(file: LogFile, size: number, scheduler: SchedulerLike = asyncScheduler) {
    this.#file = file;
    this.#size = size;
    if (size === 0) this.append(['SELECT', '0']);
    this.#timer = interval(1000, scheduler).subscribe(() => this.#sync());
  }

  /** Bytes in the file. */
  get size(): number {
    return this.#size;
  }

  /** Why changes cannot be kept at the moment: they must be refused until it is over. */
  get problem(): string | undefined {
    return this.#writeProblem ?? this.#syncProblem;
  }

  append(args: Request): void {
    if (this.#group !== undefined) this.#group.push(args);
    else this.#unwritten.add(bulks(args));
  }

  /** What is appended during `work` is replayed as a whole or not at all. */
  together<T>(work: () => T): T {
    const group: Request[] = [];
    this.#group = group;
    try {
      return work();
    } finally {
      this.#group = undefined;
      if (group.length > 1) this.append(['MULTI']);
      for (const args of group) this.append(args);
      if (group.length > 1) this.append(['EXEC']);
    }
  }

  /** Hands everything to the system. What could not be written stays, and is tried again with the next flush. */
  flush(): void {
    const { all } = this.#unwritten;
    if (all === '') return;
    this.#unwritten = new Pieces();
    for (const piece of typeof all === 'string' ? [all] : all) {
      // Behind what could not be written nothing is.
      const written = this.#unwritten.all === '' ? this.#write(Buffer.from(piece, 'latin1')) : 0;
      this.#unwritten.add(piece.slice(written));
    }
  }

  /** @returns How many bytes could be written. */
  #write(bytes: Buffer): number {
    let written = 0;
    try {
      while (written < bytes.length) written += this.#file.write(bytes.subarray(written));
      this.#writeProblem = undefined;
    } catch (error) {
      this.#writeProblem = reason(error);
    }
    this.#size += written;
    this.#unsynced ||= written > 0;
    return written;
  }

  close(): void {
    this.#timer.unsubscribe();
    this.flush();
    this.#file.close();
  }

  #sync(): void {
    this.flush();
    if (!this.#unsynced || this.#syncing) return;
    this.#unsynced = false;
    this.#syncing = true;
    this.#file.sync((error) => {
      this.#syncing = false;
      this.#unsynced ||= error !== null;
      this.#syncProblem = error === null ? undefined : reason(error);
    });
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
