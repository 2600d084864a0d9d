import type { MonoTypeOperatorFunction, SchedulerLike } from 'rxjs';
import { callable, checkArgument, describe, whole } from '../options.ts';
import { Queue } from '../queue.ts';
import { defaultClock } from '../time/monotonic.ts';
import { Operation, operate } from './operation.ts';
import { PauseCause } from './pauses.ts';
import type { ByteSink, SourceControl } from './source.ts';

/** What an operator does differently from one that passes everything on. A method that it does not have passes on to the sink. */
export interface BytesOperator extends Partial<ByteSink> {
  /** Called once, when the source has ended or is no longer subscribed: releases what the operator holds, such as a timer. */
  finalize?(): void;
}

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

/**
 * Makes an operator on bytes that keeps every promise of a connection: it reads in place, a framing operator behind it stops when
 * the input is paused, and a drain completes at a frame boundary. As RxJS 8's `operate` does, it asks only for what differs.
 *
 * ```text
 * source                    --a--b-------c--|
 * operateBytes(() => ({}))  --a--b-------c--|
 * ```
 *
 * While the operator pauses the input, its `next` is not called. A connection stops reading, so that TCP slows the peer down. A
 * source that cannot be paused continues to emit, and its chunks wait in memory; so do those of a connection that an operator in
 * front emits late.
 *
 * It ends when its source does. An error that a method throws becomes an error of the result, as in RxJS's own operators.
 *
 * @example Counts the bytes that pass.
 * const counting = operateBytes((sink) => ({
 *   next(chunk) {
 *     total += chunk.length;
 *     sink.next(chunk);
 *   },
 * }));
 *
 * @param operator Makes the operator for one subscription, from the sink that it emits to and the control of the connection. It
 * may emit in a call of `next`, `resume` or `complete`, and at any time while the input is not paused.
 * @returns An operator from chunks of bytes to chunks of bytes.
 * @throws TypeError if `operator` is not a function.
 */
export function operateBytes(
  operator: (sink: ByteSink, control: BytesControl) => BytesOperator,
): MonoTypeOperatorFunction<Uint8Array> {
  checkArgument('operate on bytes', 'operator', operator, callable);
  return (source) =>
    operate(source, (sink, control, isInPlace) => new WrittenOperation(operator, sink, control, isInPlace));
}

/** A {@link BytesOperator} in one subscription: fills in what it does not have, and catches what it throws. */
class WrittenOperation extends Operation<Uint8Array> {
  readonly #operator: BytesOperator;
  readonly #control: OperatorControl;
  #unfollow: (() => void) | undefined;

  constructor(
    make: (sink: ByteSink, control: BytesControl) => BytesOperator,
    sink: ByteSink,
    source: SourceControl | undefined,
    isInPlace: boolean,
  ) {
    super(sink);
    this.#control = new OperatorControl(source, isInPlace, this);
    const operator = make(sink, this.#control);
    if (typeof operator !== 'object' || operator === null)
      throw new TypeError(`Cannot operate on bytes: operator must return an object, not ${describe(operator)}`);
    this.#operator = operator;
    if (isInPlace || !(operator.resume || operator.drain)) return;
    // A source that is not read in place passes neither of them on, so the connection calls this operation itself. Without a
    // `drain` of its own it does not decide where the input ends.
    const resume = () => this.resume();
    this.#unfollow = source?.follow(operator.drain ? { resume, drain: () => this.drain() } : { resume });
  }

  override get uncoupled(): true | undefined {
    return this.#operator.uncoupled ?? this.sink.uncoupled;
  }

  next(chunk: Uint8Array): void {
    if (!this.isOver && !this.#control.keeps(chunk)) this.handle(chunk);
  }

  override error(error: unknown): void {
    this.#attempt(() => (this.#operator.error ? this.#operator.error(error) : super.error(error)));
  }

  override complete(): void {
    if (!this.#control.keepsEnd()) this.handleEnd();
  }

  override resume(): void {
    this.#attempt(() => (this.#operator.resume ? this.#operator.resume() : super.resume()));
  }

  override drain(): void {
    this.#attempt(() => (this.#operator.drain ? this.#operator.drain() : super.drain()));
  }

  /** Calls the operator with a chunk, at once or after a pause. */
  handle(chunk: Uint8Array): void {
    try {
      if (this.#operator.next) this.#operator.next(chunk);
      else this.sink.next(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Calls the operator with the end of the source, at once or after a pause. */
  handleEnd(): void {
    this.#attempt(() => (this.#operator.complete ? this.#operator.complete() : super.complete()));
  }

  protected override finalize(): void {
    this.#control.close();
    this.#unfollow?.();
    this.#operator.finalize?.();
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    // A teardown downstream threw, and no subscriber is left to receive the error: the caller reports it.
    if (this.isOver) throw error;
    this.sink.error(error);
  }
}

/** Pauses the source for one operator, and keeps what arrives nevertheless. */
class OperatorControl implements BytesControl {
  readonly isBorrowed: boolean;
  readonly #source: SourceControl | undefined;
  readonly #operation: WrittenOperation;
  #isPausing = false;
  #isClosed = false;
  /** The last report of the operator. */
  #buffered = 0;
  /** Chunks that arrived while the operator paused. */
  readonly #kept = new Queue<Uint8Array>();
  #keptBytes = 0;
  /** The source completed while some were kept. */
  #keepsEnd = false;

  constructor(source: SourceControl | undefined, isInPlace: boolean, operation: WrittenOperation) {
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
