import {
  type Operator as Lifted,
  Observable,
  type OperatorFunction as Operator,
  type Subscriber,
  type TeardownLogic,
  type Unsubscribable,
} from 'rxjs';
import { iterate } from './iterate.ts';
import type { ByteSink, SourceControl } from './source.ts';

/** An Observable that `for await` can also iterate over, at the loop's pace. */
export type Stream<T> = Observable<T> & AsyncIterable<T>;

/**
 * An Observable that knows the connection behind it. The result of an operator on it knows the same connection. Because of
 * that, a framing operator stops when the connection is paused, whatever is between them, and `for await` pauses the right
 * connection.
 */
export abstract class Derived<T> extends Observable<T> implements AsyncIterable<T> {
  /** The connection behind it. Protected, because only the library uses it: see {@link controlOf}. */
  protected abstract readonly control: SourceControl;

  /** The connection behind an Observable, if there is one. */
  static controlOf(source: Observable<unknown>): SourceControl | undefined {
    return source instanceof Derived ? source.control : undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return iterate(this, this.control);
  }

  /** The operators of RxJS create their result with this method. */
  override lift<R>(operator?: Lifted<T, R>): Observable<R> {
    // A ConnectableObservable copies this method from its source, and has no connection.
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
    // An operator may return any value, and may return the same one to other callers. So the value itself is not changed.
    if (!(result instanceof Observable) || Symbol.asyncIterator in result) return result;
    return wrap(result, this.control);
  }
}

/** The result of an operator on a {@link Derived}. */
class Piped<T> extends Derived<T> {
  protected readonly control: SourceControl;

  constructor(control: SourceControl, subscribe?: (this: Observable<T>, to: Subscriber<T>) => TeardownLogic) {
    super(subscribe);
    this.control = control;
  }
}

/**
 * Makes the result of an operator of the library. If there is a connection behind the source, it is behind the result as well.
 */
export function derive<T>(source: Observable<unknown>, subscribe: (to: Subscriber<T>) => TeardownLogic): Observable<T> {
  const control = controlOf(source);
  return control ? new Piped(control, subscribe) : new Observable(subscribe);
}

const wrap = <T>(source: Observable<T>, control: SourceControl) => new Piped<T>(control, (to) => source.subscribe(to));

/** Only a plain Observable is wrapped. The next operator may need a subclass, such as a ConnectableObservable, as it is. */
const known = (result: unknown, control: SourceControl): unknown =>
  typeof result === 'object' && result !== null && Object.getPrototypeOf(result) === Observable.prototype
    ? wrap(result as Observable<unknown>, control)
    : result;

/**
 * An Observable of bytes. Operators of the library read its chunks in place; all other subscribers receive copies.
 *
 * `for await` can iterate over it and over the result of its `pipe`. The next chunk is read when the loop's body has run. Leaving
 * the loop ends the connection.
 */
export abstract class Bytes extends Derived<Uint8Array> {
  /** Subscribes in place. Protected, because only the library uses it: see {@link borrow}. */
  protected abstract borrow(sink: ByteSink): Unsubscribable;

  /** Subscribes in place to Bytes, and as usual to any other Observable. */
  static borrow(source: Observable<Uint8Array>, sink: ByteSink): Unsubscribable {
    return source instanceof Bytes ? source.borrow(sink) : source.subscribe(sink);
  }

  /** Whether the chunks of `borrow` are borrowed. */
  protected get areBorrowed(): boolean {
    return this.control.borrowed;
  }

  /** RxJS calls this with each subscriber. A function given to the constructor would be a closure for each connection. */
  protected _subscribe(subscriber: Subscriber<Uint8Array>): Unsubscribable {
    if (!this.areBorrowed) return this.borrow(subscriber);
    return this.borrow(isBorrower(subscriber) ? new BorrowingSink(subscriber) : new CopyingSink(subscriber));
  }
}

/** Copies borrowed chunks, because a subscriber may keep what it receives. */
class CopyingSink implements ByteSink {
  readonly #to: Subscriber<Uint8Array>;
  constructor(to: Subscriber<Uint8Array>) {
    this.#to = to;
  }
  next(chunk: Uint8Array): void {
    this.#to.next(Buffer.from(chunk));
  }
  error(error: unknown): void {
    this.#to.error(error);
  }
  complete(): void {
    this.#to.complete();
  }
}

/** A subscriber of the library that can be passed borrowed chunks: the output of a connection. */
type Borrower = Subscriber<Uint8Array> & { nextBorrowed(chunk: Uint8Array): void };

const isBorrower = (subscriber: Subscriber<Uint8Array>): subscriber is Borrower => 'nextBorrowed' in subscriber;

/** Passes borrowed chunks on as they are. */
class BorrowingSink implements ByteSink {
  readonly #to: Borrower;
  constructor(to: Borrower) {
    this.#to = to;
  }
  next(chunk: Uint8Array): void {
    this.#to.nextBorrowed(chunk);
  }
  error(error: unknown): void {
    this.#to.error(error);
  }
  complete(): void {
    this.#to.complete();
  }
}

/** The result of an operator from bytes to bytes, such as `idle`: the operators behind it still read in place. */
export class LiftedBytes extends Bytes {
  protected readonly control: SourceControl;
  readonly #subscribe: (sink: ByteSink) => Unsubscribable;

  constructor(control: SourceControl, subscribe: (sink: ByteSink) => Unsubscribable) {
    super();
    this.control = control;
    this.#subscribe = subscribe;
  }

  protected borrow(sink: ByteSink): Unsubscribable {
    return this.#subscribe(sink);
  }
}

export const { controlOf } = Derived;
export const { borrow } = Bytes;
