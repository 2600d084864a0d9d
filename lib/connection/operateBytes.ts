import type { MonoTypeOperatorFunction } from 'rxjs';
import { callable, checkArgument, describe } from '../options.ts';
import { Operation, operate } from './operation.ts';
import { type BytesControl, type Controlled, OperatorControl } from './operatorControl.ts';
import type { ByteSink, SourceControl } from './source.ts';

/** What an operator does differently from one that passes everything on. A method that it does not have passes on to the sink. */
export interface BytesOperator extends Partial<ByteSink> {
  /** Called once, when the source has ended or is no longer subscribed: releases what the operator holds, such as a timer. */
  finalize?(): void;
}

/**
 * Makes an operator on bytes that keeps all guarantees of a connection: it reads in place, a framing operator behind it stops when
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
class WrittenOperation extends Operation<Uint8Array> implements Controlled {
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

  handle(chunk: Uint8Array): void {
    try {
      if (this.#operator.next) this.#operator.next(chunk);
      else this.sink.next(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

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
