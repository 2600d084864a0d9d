import {
  type Operator as Lifted,
  Observable,
  type OperatorFunction as Operator,
  type Subscriber,
  type Subscription,
  type TeardownLogic,
} from 'rxjs';
import { iterate } from './iterate.ts';
import type { ByteSink, SourceControl } from './source.ts';

/** An Observable that can also be looped over with `for await`, at the loop's pace. */
export type Stream<T> = Observable<T> & AsyncIterable<T>;

/**
 * An Observable that knows the connection it comes from. What operators make of it knows that, too: so a framing operator obeys
 * the connection behind any other operator, and `for await` holds back the input of the right connection.
 */
export abstract class Derived<T> extends Observable<T> implements AsyncIterable<T> {
  /** The connection behind it. Protected, because only operators of the library use it; see {@link controlOf}. */
  protected abstract readonly control: SourceControl;

  /** The connection behind an Observable, if there is one. */
  static controlOf(source: Observable<unknown>): SourceControl | undefined {
    return source instanceof Derived ? source.control : undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return iterate(this, this.control);
  }

  /** RxJS's operators create their result with this method. */
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
  protected readonly control: SourceControl;

  constructor(control: SourceControl, subscribe?: (this: Observable<T>, to: Subscriber<T>) => TeardownLogic) {
    super(subscribe);
    this.control = control;
  }
}

/** Makes what an operator of ours returns: it knows the connection that its source comes from, if there is one. */
export function derive<T>(source: Observable<unknown>, subscribe: (to: Subscriber<T>) => TeardownLogic): Observable<T> {
  const control = controlOf(source);
  return control ? new Piped(control, subscribe) : new Observable(subscribe);
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
  /** Subscribes in place. Protected, because only operators of the library use it; see {@link borrow}. */
  protected abstract borrow(sink: ByteSink): Subscription;

  /** Subscribes in place where that can be done, and as usual elsewhere. */
  static borrow(source: Observable<Uint8Array>, sink: ByteSink): Subscription {
    return source instanceof Bytes ? source.borrow(sink) : source.subscribe(sink);
  }

  /** What RxJS calls with each subscriber. Its constructor takes a function for that, which would be one for each connection. */
  protected _subscribe(subscriber: Subscriber<Uint8Array>): Subscription {
    return this.borrow(new Copies(subscriber, this.control));
  }
}

class Copies implements ByteSink {
  readonly #to: Subscriber<Uint8Array>;
  readonly #control: SourceControl;
  constructor(to: Subscriber<Uint8Array>, control: SourceControl) {
    this.#to = to;
    this.#control = control;
  }
  next(chunk: Uint8Array): void {
    this.#to.next(this.#control.borrowed ? Buffer.from(chunk) : chunk);
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
  protected readonly control: SourceControl;
  readonly #subscribe: (sink: ByteSink) => Subscription;

  constructor(control: SourceControl, subscribe: (sink: ByteSink) => Subscription) {
    super();
    this.control = control;
    this.#subscribe = subscribe;
  }

  protected borrow(sink: ByteSink): Subscription {
    return this.#subscribe(sink);
  }
}

export const { controlOf } = Derived;
export const { borrow } = Bytes;
