import type { MonoTypeOperatorFunction } from 'rxjs';
import { isA } from '../errors.ts';
import { callable, checkArgument, describe } from '../options.ts';
import { Operation, operate } from './operation.ts';
import { type BytesControl, type Controlled, OperatorControl } from './operatorControl.ts';
import type { ByteSink, SourceControl } from './source.ts';

/**
 * What an operator does differently from one that passes everything on. A method that it does not have passes on to the sink.
 * `resume` is called after the sink has been resumed, if the input is still not paused then: emit what was held back.
 */
export interface BytesOperator extends Partial<ByteSink> {
  /** Called once, when the source has ended or is no longer subscribed: releases what the operator holds, such as a timer. */
  finalize?(): void;
}

/**
 * Where an operator emits. A chunk may be kept by what receives it, so the operator must not write into it again, unless
 * `control.isBorrowed`.
 */
export interface OperatorSink extends ByteSink {
  /** Asks what is behind the operator to complete at its next frame boundary; completes it if it has no frames. */
  drain(): void;
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
 * It ends when its source does, or when it emits an error or completes: then none of its methods is called any more, and what it
 * emits is ignored. An error that a method throws becomes an error of the result, as in RxJS's own operators.
 *
 * @example Counts the bytes that pass.
 * ```ts
 * let total = 0;
 * const counting = operateBytes((sink) => ({
 *   next(chunk) {
 *     total += chunk.length;
 *     sink.next(chunk);
 *   },
 *   finalize: () => console.log(`${total} bytes`),
 * }));
 *
 * serve({ port: 7000 }, (client) => client.pipe(counting, lines(), map(encodeLine))).subscribe();
 * // → 6 bytes
 * ```
 *
 * @param operator Makes the operator for one subscription, from the sink that it emits to and the control of the connection. It
 * may emit in a call of `next`, `resume`, `drain`, `error` or `complete`, and at any time while the input is not paused.
 * @returns An operator from chunks of bytes to chunks of bytes.
 * @throws TypeError if `operator` is not a function.
 */
export function operateBytes(
  operator: (sink: OperatorSink, control: BytesControl) => BytesOperator,
): MonoTypeOperatorFunction<Uint8Array> {
  checkArgument('operate on bytes', 'operator', operator, callable);
  return (source) =>
    operate(source, (sink, control, isInPlace) => new WrittenOperation(operator, sink, control, isInPlace));
}

/**
 * A {@link BytesOperator} in one subscription: fills in what it does not have, and catches what it throws. It is the sink of the
 * source, and an {@link Emitter} is the sink of the operator.
 */
class WrittenOperation extends Operation<Uint8Array> implements Controlled {
  #operator: BytesOperator = {};
  readonly #control: OperatorControl;
  readonly #emitter: Emitter;
  #unfollow: (() => void) | undefined;

  constructor(
    make: (sink: OperatorSink, control: BytesControl) => BytesOperator,
    sink: ByteSink,
    source: SourceControl | undefined,
    isInPlace: boolean,
  ) {
    super(sink);
    this.#control = new OperatorControl(source, isInPlace, this);
    this.#emitter = new Emitter(sink, () => this.end());
    try {
      const made = make(this.#emitter, this.#control);
      if (typeof made !== 'object' || made === null)
        throw new TypeError(`Cannot operate on bytes: operator must return an object, not ${describe(made)}`);
      this.#operator = made;
    } catch (error) {
      this.#control.close();
      throw error;
    }
    // The function that made it has already ended it.
    if (this.isOver) this.#finalizeOperator();
    const { resume, drain } = this.#operator;
    if (this.isOver || isInPlace || !(resume || drain)) return;
    // A source that is not read in place passes neither of them on, so the connection calls this operation itself. Without a
    // `drain` of its own it does not decide where the input ends.
    const follower = {
      resume: () => this.resume(),
      error: (error: unknown) => this.error(error),
      complete: () => this.complete(),
    };
    this.#unfollow = source?.follow(drain ? { ...follower, drain: () => this.drain() } : follower);
  }

  override get uncoupled(): true | undefined {
    return this.#operator.uncoupled ?? this.sink.uncoupled;
  }

  next(chunk: Uint8Array): void {
    if (!this.isOver) this.#control.arrived(chunk);
  }

  override error(error: unknown): void {
    // After its end, what is behind it may hold frames.
    if (this.isOver) return this.sink.error(error);
    this.#attempt(() => (this.#operator.error ? this.#operator.error(error) : this.#emitter.error(error)));
  }

  override complete(): void {
    if (this.isOver) this.sink.complete();
    else this.#control.ended();
  }

  override resume(): void {
    this.#attempt(() => {
      // What is behind it may hold earlier bytes, also after the end of the operator.
      super.resume();
      if (!this.isOver && !this.#control.isPaused) this.#operator.resume?.();
    });
  }

  override drain(): void {
    this.#attempt(() => {
      // After the end of the operator, what is behind it may hold frames.
      if (this.isOver) this.sink.drain?.();
      else if (this.#operator.drain) this.#operator.drain();
      else super.drain();
    });
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
    this.#attempt(() => (this.#operator.complete ? this.#operator.complete() : this.#emitter.complete()));
  }

  protected override finalize(): void {
    this.#emitter.isOver = true;
    this.#control.close();
    this.#unfollow?.();
    this.#finalizeOperator();
  }

  #finalizeOperator(): void {
    try {
      this.#operator.finalize?.();
    } catch (error) {
      // Before the end of the input is passed on, which would close the connection as completed.
      this.#closeAs(error);
      throw error;
    }
  }

  #closeAs(error: unknown): void {
    if (isA(error, Error)) this.#control.closeAs(error);
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (!this.isOver) return this.#emitter.error(error);
    // A teardown threw, and no subscriber is left to receive the error. The caller reports it; RxJS between it and the connection
    // may not.
    this.#closeAs(error);
    throw error;
  }
}

/** The sink of a written operator: ends the operator with what it emits. */
class Emitter implements OperatorSink {
  readonly #sink: ByteSink;
  readonly #end: () => void;
  isOver = false;

  constructor(sink: ByteSink, end: () => void) {
    this.#sink = sink;
    this.#end = end;
  }

  get uncoupled(): true | undefined {
    return this.#sink.uncoupled;
  }

  next(chunk: Uint8Array): void {
    if (!this.isOver) this.#sink.next(chunk);
  }

  error(error: unknown): void {
    this.#finish(() => this.#sink.error(error));
  }

  complete(): void {
    this.#finish(() => this.#sink.complete());
  }

  resume(): void {
    this.#sink.resume?.();
  }

  drain(): void {
    if (this.#sink.drain) this.#sink.drain();
    else this.complete();
  }

  #finish(emit: () => void): void {
    if (this.isOver) return;
    this.isOver = true;
    try {
      this.#end();
    } finally {
      emit();
    }
  }
}
