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
  /** Ends the pause of this operator. The input may flow within this call. */
  resume(): void;
  /**
   * Sets the close reason of the connection, if it has none yet: `frame-invalid` for a `FrameInvalidError`, and so on; `failed`
   * for errors of your own. It closes nothing: emit the error to the sink, or throw it.
   */
  closeAs(error: Error): void;
  /**
   * Reports the number of bytes that the operator has received and holds, in total, until the next report. The server's `budget`
   * counts them.
   */
  reportBuffered(bytes: number): void;
}

/** Calls a user's operator, at once or after a pause. */
export interface Controlled {
  handle(chunk: Uint8Array): void;
  handleEnd(): void;
}

/** Pauses the source for one operator, and keeps what arrives nevertheless. */
export class OperatorControl implements BytesControl {
  readonly isBorrowed: boolean;
  readonly #source: SourceControl | undefined;
  readonly #operation: Controlled;
  #isPausing = false;
  #isClosed = false;
  /** The last report of the operator. */
  #buffered = 0;
  /** Chunks that arrived while the operator paused. */
  readonly #kept = new Queue<Uint8Array>();
  #keptBytes = 0;
  /** The source completed while some were kept. */
  #keepsEnd = false;

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

  reportBuffered(bytes: number): void {
    checkArgument('report what an operator holds', 'bytes', bytes, whole(0));
    if (this.#isClosed) return;
    this.#source?.reportBuffered(bytes - this.#buffered, 0);
    this.#buffered = bytes;
  }

  /** @returns Whether the chunk has to wait, and is kept. */
  keeps(chunk: Uint8Array): boolean {
    if (!this.#isPausing && this.#kept.size === 0) return false;
    this.#kept.push(this.isBorrowed ? Buffer.from(chunk) : chunk);
    this.#keptBytes += chunk.length;
    this.#source?.reportBuffered(chunk.length, this.#kept.size === 1 ? 1 : 0);
    return true;
  }

  /** @returns Whether the end of the source has to wait for chunks. When we have ended the connection, they are discarded. */
  keepsEnd(): boolean {
    this.#keepsEnd = this.#kept.size > 0 && this.#source?.over !== true;
    return this.#keepsEnd;
  }

  /** The operator has ended. */
  close(): void {
    if (this.#kept.size + this.#buffered > 0)
      this.#source?.reportBuffered(-this.#buffered - this.#keptBytes, this.#kept.size > 0 ? -1 : 0);
    this.#isClosed = true;
    this.#keepsEnd = false;
    this.#kept.clear();
    this.resume();
  }

  #flow(): void {
    while (!this.#isPausing) {
      const chunk = this.#kept.shift();
      if (chunk === undefined) break;
      this.#keptBytes -= chunk.length;
      this.#source?.reportBuffered(-chunk.length, this.#kept.size === 0 ? -1 : 0);
      this.#operation.handle(chunk);
    }
    if (!this.#keepsEnd || this.#kept.size > 0 || this.#isPausing) return;
    this.#keepsEnd = false;
    this.#operation.handleEnd();
  }
}
