import {
  type Operator as Lifted,
  Observable,
  type OperatorFunction as Operator,
  type SchedulerLike,
  type Subscriber,
  type Subscription,
  type TeardownLogic,
} from 'rxjs';
import { iterate } from './iterate.ts';
import type { Pace } from './pace.ts';

/**
 * Takes bytes in place. A chunk is **borrowed**: it lies in a buffer that the next read overwrites, so it holds only
 * during the call of `next`. Whoever keeps bytes longer copies them.
 */
export interface ByteSink {
  /**
   * What is written to the connection does not come of what is read from it. So a peer that takes nothing is read all the
   * same: it may be waiting for just that.
   */
  readonly uncoupled?: true;
  next(chunk: Uint8Array): void;
  error(error: unknown): void;
  complete(): void;
  /** The input may flow again: go on with what was held back while {@link SourceControl.isPaused} was set. */
  resume?(): void;
  /** The server drains: complete at the next frame boundary, which may be now. Without it the input completes now. */
  drain?(): void;
}

/**
 * The connection behind some bytes, as far as an operator on them needs it.
 */
export interface SourceControl {
  /** Whether the input is held back. */
  readonly isPaused: boolean;
  /** Whether we have ended or broken off the connection: nothing of it is to be handed on any more. */
  readonly over: boolean;
  /** Milliseconds a begun frame may take, if the operator sets no limit of its own. `Infinity` for no limit. */
  readonly frameTimeout: number;
  /** How slowly a frame that has begun may come. */
  readonly pace: Pace;
  /** The connection's clock. */
  readonly clock: SchedulerLike;
  /** When a byte last went in or out, or our own work last ended, in milliseconds of that clock. */
  readonly lastActivity: number;
  /** The same, or later while what the network holds may be going out unseen. */
  readonly silentSince: number;
  /** Whether we are at work on what the peer has sent, or hold its input back: its silence is not idleness then. */
  readonly busy: boolean;
  /** Calls back, once, when that is over. */
  whenRested(look: () => void): void;
  /** Whether the input is held back for a cause that stops the clock of a frame: any but the budget. */
  readonly detained: boolean;
  /** For how long it has been so far, in milliseconds. */
  readonly detainedFor: number;
  /** Whether the chunks of a {@link ByteSink} are borrowed, or the receiver's to keep. */
  readonly borrowed: boolean;
  /** A framing loop asks after each frame whether to stop there. If so it keeps the rest until `resume`. */
  stop(): boolean;
  /**
   * Says that so many bytes more, or fewer, are carried from one call to the next: of a frame that has not ended, or held
   * back. A change and not a sum, because several operators may carry some.
   *
   * @param frames By how many the number of operators has changed that hold frames back.
   */
  reportBuffered(change: number, frames: number): void;
  /**
   * Adds a framing operator that does not read in place, as others stand in front of it. It is resumed and drained as a
   * {@link ByteSink} is. Of several, the one that was added first decides first where the input may end: it is the one
   * furthest downstream.
   * @returns A function that takes it out again.
   */
  follow(follower: Follower): () => void;
  /** Holds the input back, for a cause (see `Hold`), until it is released. */
  pause(cause: number): void;
  resume(cause: number): void;
  /** Keeps the connection from ending by itself when its input is over. @returns A function that lets it. */
  retain(): () => void;
  /** Gives way to the other connections: the input is held, and flows again after one turn of the event loop. */
  yield(): void;
  /** Tells the connection what is wrong with its input, so that its close reason is true whatever the handler replies. */
  closeAs(error: Error): void;
}

/** A framing operator behind other operators. */
export type Follower = Required<Pick<ByteSink, 'resume' | 'drain'>>;

/** An Observable that can also be looped over with `for await`, at the loop's pace. */
export type Stream<T> = Observable<T> & AsyncIterable<T>;

/**
 * An Observable that knows the connection it comes from. What operators make of it knows that, too: so a framing operator obeys
 * the connection behind any other operator, and `for await` holds back the input of the right connection.
 */
export abstract class Derived<T> extends Observable<T> implements AsyncIterable<T> {
  /** @internal The connection behind it. */
  abstract readonly control: SourceControl;

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return iterate(this, this.control);
  }

  /** @internal What RxJS's operators make their result with. */
  override lift<R>(operator?: Lifted<T, R>): Observable<R> {
    // A ConnectableObservable borrows this method from its source, and has no connection.
    if (!(this instanceof Derived)) return super.lift(operator);
    const lifted = new Piped<R>(this.control);
    lifted.source = this;
    lifted.operator = operator as Lifted<unknown, R>;
    return lifted;
  }

  override pipe(): this;
  override pipe<A>(a: Operator<T, A>): Stream<A>;
  override pipe<A, B>(a: Operator<T, A>, b: Operator<A, B>): Stream<B>;
  override pipe<A, B, C>(a: Operator<T, A>, b: Operator<A, B>, c: Operator<B, C>): Stream<C>;
  override pipe<A, B, C, D>(a: Operator<T, A>, b: Operator<A, B>, c: Operator<B, C>, d: Operator<C, D>): Stream<D>;
  override pipe<A, B, C, D, E>(
    a: Operator<T, A>,
    b: Operator<A, B>,
    c: Operator<B, C>,
    d: Operator<C, D>,
    e: Operator<D, E>,
  ): Stream<E>;
  override pipe<A, B, C, D, E, F>(
    a: Operator<T, A>,
    b: Operator<A, B>,
    c: Operator<B, C>,
    d: Operator<C, D>,
    e: Operator<D, E>,
    f: Operator<E, F>,
  ): Stream<F>;
  override pipe<A, B, C, D, E, F>(
    a: Operator<T, A>,
    b: Operator<A, B>,
    c: Operator<B, C>,
    d: Operator<C, D>,
    e: Operator<D, E>,
    f: Operator<E, F>,
    ...more: Operator<unknown, unknown>[]
  ): Stream<unknown>;
  override pipe(...operators: Operator<never, never>[]): unknown {
    let result: unknown = this;
    for (const operator of operators) result = known(operator(result as Observable<never>), this.control);
    // An operator may return what it likes. It may have made it for others, too, so it is not touched.
    if (!(result instanceof Observable) || Symbol.asyncIterator in result) return result;
    return wrap(result, this.control);
  }
}

/** What an operator has made of a connection's bytes. */
class Piped<T> extends Derived<T> {
  readonly control: SourceControl;

  constructor(control: SourceControl, subscribe?: (this: Observable<T>, to: Subscriber<T>) => TeardownLogic) {
    super(subscribe);
    this.control = control;
  }
}

/** Makes what an operator of ours returns: it knows the connection that its source comes from, if there is one. */
export function derive<T>(source: Observable<unknown>, subscribe: (to: Subscriber<T>) => TeardownLogic): Observable<T> {
  return source instanceof Derived ? new Piped(source.control, subscribe) : new Observable(subscribe);
}

const wrap = <T>(source: Observable<T>, control: SourceControl) => new Piped<T>(control, (to) => source.subscribe(to));

/** What is more than a plain Observable, such as a ConnectableObservable, may be needed as it is by the next operator. */
const known = (result: unknown, control: SourceControl): unknown =>
  typeof result === 'object' && result !== null && Object.getPrototypeOf(result) === Observable.prototype
    ? wrap(result as Observable<unknown>, control)
    : result;

/**
 * An Observable of bytes that our own operators can read in place; to everyone else it hands out copies.
 *
 * It can be looped over with `for await`, and so can what `pipe` makes of it: no more is read than the loop's body has worked
 * off. Leaving the loop ends the connection.
 */
export abstract class Bytes extends Derived<Uint8Array> {
  /** @internal Subscribes in place. */
  abstract borrow(sink: ByteSink): Subscription;

  /** What RxJS calls with each subscriber. Its constructor takes a function for that, which would be one for each connection. */
  protected _subscribe(subscriber: Subscriber<Uint8Array>): Subscription {
    return this.borrow(new Copies(subscriber, this));
  }
}

class Copies implements ByteSink {
  readonly #to: Subscriber<Uint8Array>;
  readonly #from: Bytes;
  constructor(to: Subscriber<Uint8Array>, from: Bytes) {
    this.#to = to;
    this.#from = from;
  }
  next(chunk: Uint8Array): void {
    this.#to.next(this.#from.control.borrowed ? Buffer.from(chunk) : chunk);
  }
  error(error: unknown): void {
    this.#to.error(error);
  }
  complete(): void {
    this.#to.complete();
  }
}

/** Bytes made of other bytes: what an operator such as `idle` returns, so that framing behind it still reads in place. */
export class LiftedBytes extends Bytes {
  readonly control: SourceControl;
  readonly #subscribe: (sink: ByteSink) => Subscription;

  constructor(source: Bytes, subscribe: (sink: ByteSink) => Subscription) {
    super();
    this.control = source.control;
    this.#subscribe = subscribe;
  }

  borrow(sink: ByteSink): Subscription {
    return this.#subscribe(sink);
  }
}

/** Subscribes in place where that can be done, and as usual elsewhere. */
export function borrow(source: Observable<Uint8Array>, sink: ByteSink): Subscription {
  return source instanceof Bytes ? source.borrow(sink) : source.subscribe(sink);
}
