import { closeSync, fstatSync, fsync, fsyncSync, writeSync } from 'node:fs';
import { asyncScheduler, interval, type SchedulerLike, type Subscription } from 'rxjs';
import { bulks, Pieces } from '../resp/reply.ts';
import type { Request } from '../resp/request.ts';

/** The file that a log is written to. */
export interface LogFile {
  /** @returns How many bytes were written, which may be fewer. */
  write(bytes: Uint8Array): number;
  /** Calls back once all data written so far is on the disk. */
  sync(done: (error: Error | null) => void): void;
  /** Forces all data to the disk, and closes the file. */
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

/** The size of the open file, in bytes. */
export const sizeOf = (descriptor: number): number => fstatSync(descriptor).size;

/**
 * The append-only log: every change, as the command that repeats it.
 *
 * {@link flush} writes changes to the file before their replies are sent, so an acknowledged change survives if this
 * process is killed. They are forced to the disk once a second, so a power failure loses at most a second.
 */
export class Log {
  readonly #file: LogFile;
  readonly #timer: Subscription;
  #unwritten = new Pieces();
  #size: number;
  #unsynced = false;
  #syncing = false;
  /** The changes that the running {@link together} has gathered. */
  #group: Request[] | undefined;
  #writeProblem: string | undefined;
  #syncProblem: string | undefined;

  /**
   * @param file The file to write to.
   * @param size How many bytes it already contains.
   * @param scheduler The clock that forces changes to the disk once a second.
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

  /** Why changes cannot be logged at the moment. They must be refused until this is `undefined` again. */
  get problem(): string | undefined {
    return this.#writeProblem ?? this.#syncProblem;
  }

  append(args: Request): void {
    if (this.#group !== undefined) this.#group.push(args);
    else this.#unwritten.add(bulks(args));
  }

  /** Changes that are appended during `work` are replayed together, or not at all. */
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

  /** Writes all queued changes to the file. What could not be written stays queued, and the next flush tries again. */
  flush(): void {
    const { all } = this.#unwritten;
    if (all === '') return;
    this.#unwritten = new Pieces();
    for (const piece of typeof all === 'string' ? [all] : all) {
      // After a failed write, later pieces stay queued: otherwise the file would have a gap.
      const written = this.#unwritten.all === '' ? this.#write(Buffer.from(piece, 'latin1')) : 0;
      this.#unwritten.add(piece.slice(written));
    }
  }

  /** @returns How many bytes were written. */
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
