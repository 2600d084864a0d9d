import type { SchedulerLike } from 'rxjs';
import { checkArgument, whole } from '../options.ts';
import { Queue } from '../queue.ts';
import { defaultClock } from '../time/monotonic.ts';
import { PauseCause } from './pauses.ts';
import type { SourceControl } from './source.ts';

/** The connection behind an operator on bytes. Without one, only the clock and the pause of the operator have an effect. */
export interface BytesControl {
  /** The connection's clock, for timers: virtual in a test on virtual time. Without a connection it is monotonic time. */
  readonly clock: SchedulerLike;
  /** Whether the input is paused, for any cause. An operator that emits several chunks for one should stop until `resume`. */
  readonly isPaused: boolean;
  /**
   * Whether the chunks are borrowed: they are in a buffer that the next read overwrites, so a chunk is valid during the call of
   * `next` only, and what is kept of it must be copied.
   */
  readonly isBorrowed: boolean;
  /**
   * Pauses the input until this operator resumes it, or ends. It applies from the next chunk on. A second call changes nothing;
   * other causes, and other operators, pause and resume on their own account. The pause is not the peer's fault: deadlines of
   * frames and of silence do not run meanwhile, and `paused.handler` of the connection counts it.
   */
  pause(): void;
  /**
   * Ends the pause of this operator. The input may flow within this call, but `next` is not called again while it runs: the chunk
   * waits until it returns.
   */
  resume(): void;
  /**
   * Sets the close reason of the connection, if it has none yet: `frame-invalid` for a `FrameInvalidError`, and so on; `failed`
   * for errors of your own. It closes nothing: emit the error to the sink, or throw it.
   */
  closeAs(error: Error): void;
  /**
   * Reports the number of bytes that the operator has received and holds, in total, until the next report. The server's `budget`
   * counts them.
   *
   * @param isReady Whether the operator emits them in `resume`, without reading more, as one that delays chunks. If it reports so
   * while memory is short, or its input is paused then, it is resumed for that. The connections of operators that hold part of
   * something are evicted first. @default false
   */
  reportBuffered(bytes: number, isReady?: boolean): void;
}

/** Calls a user's operator, at once or after a pause. */
export interface Controlled {
  /** May throw, as `handleEnd`: the caller reports it. */
  handle(chunk: Uint8Array): void;
  handleEnd(): void;
}

/** Pauses the source for one operator, and keeps what arrives nevertheless. It calls the operator for one chunk at a time. */
export class OperatorControl implements BytesControl {
  readonly isBorrowed: boolean;
  readonly #source: SourceControl | undefined;
  readonly #operation: Controlled;
  #isPausing = false;
  #isClosed = false;
  /** The operator is called for a chunk. What arrives within that call, as after `resume`, waits until it returns. */
  #isHandling = false;
  /** What the operator says that it holds, in bytes, and whether it can emit that without reading more. */
  #buffered = 0;
  #isReady = false;
  /** Chunks that arrived while the operator paused, or was called for another one. */
  readonly #kept = new Queue<Uint8Array>();
  #keptBytes = 0;
  /** The source completed meanwhile. */
  #keepsEnd = false;
  /** The last report to the connection: bytes, and whether some of them wait only for the end of a pause. */
  #reported = 0;
  #isHolder = false;

  constructor(source: SourceControl | undefined, isInPlace: boolean, operation: Controlled) {
    this.isBorrowed = isInPlace && source?.borrowed === true;
    this.#source = source;
    this.#operation = operation;
  }

  get clock(): SchedulerLike {
    return this.#source?.clock ?? defaultClock();
  }

  get isPaused(): boolean {
    return this.#isPausing || this.#source?.isPaused === true;
  }

  pause(): void {
    if (this.#isPausing || this.#isClosed) return;
    this.#isPausing = true;
    this.#source?.pause(PauseCause.operator);
  }

  resume(): void {
    if (!this.#isPausing) return;
    this.#isPausing = false;
    // First, so that the operators behind this one may emit. What the input emits within this call queues behind what is kept.
    this.#source?.resume(PauseCause.operator);
    this.#flow();
  }

  closeAs(error: Error): void {
    this.#source?.closeAs(error);
  }

  reportBuffered(bytes: number, isReady = false): void {
    checkArgument('report what an operator holds', 'bytes', bytes, whole(0));
    this.#buffered = bytes;
    this.#isReady = isReady && bytes > 0;
    this.#report();
  }

  /** Handles a chunk, or keeps it until the pause ends or the operator returns. */
  arrived(chunk: Uint8Array): void {
    if (this.#isPausing || this.#isHandling || this.#kept.size > 0) return this.#keep(chunk);
    this.#handle(chunk);
    if (this.#kept.size > 0 || this.#keepsEnd) this.#flow();
  }

  /** The source has completed. When we have ended the connection, what is kept is discarded. */
  ended(): void {
    this.#keepsEnd = (this.#kept.size > 0 || this.#isHandling) && this.#source?.over !== true;
    if (!this.#keepsEnd) this.#operation.handleEnd();
  }

  /** The operator has ended. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#keepsEnd = false;
    this.#kept.clear();
    this.#report();
    this.resume();
  }

  #keep(chunk: Uint8Array): void {
    this.#kept.push(this.isBorrowed ? Buffer.from(chunk) : chunk);
    this.#keptBytes += chunk.length;
    this.#report();
  }

  #handle(chunk: Uint8Array): void {
    this.#isHandling = true;
    try {
      this.#operation.handle(chunk);
    } finally {
      this.#isHandling = false;
    }
  }

  #flow(): void {
    if (this.#isHandling) return;
    while (!this.#isPausing) {
      const chunk = this.#kept.shift();
      if (chunk === undefined) break;
      this.#handle(chunk);
      this.#keptBytes -= chunk.length;
      this.#report();
    }
    if (!this.#keepsEnd || this.#kept.size > 0 || this.#isPausing) return;
    this.#keepsEnd = false;
    this.#operation.handleEnd();
    this.#report();
  }

  /** Reports what is held, if that has changed. A kept chunk counts until the operator has returned from it. */
  #report(): void {
    const bytes = this.#isClosed ? 0 : this.#buffered + this.#keptBytes;
    const isHolder = !this.#isClosed && (this.#isReady || this.#kept.size > 0 || this.#keepsEnd);
    const change = bytes - this.#reported;
    const more = Number(isHolder) - Number(this.#isHolder);
    if (change === 0 && more === 0) return;
    this.#reported = bytes;
    this.#isHolder = isHolder;
    this.#source?.reportBuffered(change, more);
  }
}
