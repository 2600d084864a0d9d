import { type Observable, type Observer, Subscriber, Subscription, type Unsubscribable } from 'rxjs';
import { Bytes, borrow, controlOf, derive, LiftedBytes } from './bytes.ts';
import type { ByteSink, SourceControl } from './source.ts';

/** Where an operator emits. On bytes it is a {@link ByteSink}, elsewhere an observer. */
export type Sink<T> = Observer<T> & Pick<ByteSink, 'uncoupled' | 'resume' | 'drain'>;

/**
 * One subscription of an operator: the object between its source and its sink. It passes on everything that a subclass does not
 * override, in both directions.
 */
export abstract class Operation<T> implements Sink<T> {
  protected readonly sink: Sink<T>;
  #isOver = false;
  #source: Unsubscribable | undefined;

  constructor(sink: Sink<T>) {
    this.sink = sink;
  }

  /** Whether it has ended: it emits nothing more. */
  protected get isOver(): boolean {
    return this.#isOver;
  }

  get uncoupled(): true | undefined {
    return this.sink.uncoupled;
  }

  abstract next(value: T): void;

  error(error: unknown): void {
    try {
      this.end();
    } finally {
      this.sink.error(error);
    }
  }

  complete(): void {
    try {
      this.end();
    } finally {
      // The end of the source is passed on also if `finalize` throws.
      this.sink.complete();
    }
  }

  resume(): void {
    this.sink.resume?.();
  }

  drain(): void {
    if (this.sink.drain) return this.sink.drain();
    this.stop();
    this.sink.complete();
  }

  /** @param source The subscription that {@link stop} ends. */
  attach(source: Unsubscribable): void {
    this.#source = source;
    if (this.#isOver) source.unsubscribe();
  }

  /** The source, or the subscription downstream, has ended. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.finalize();
  }

  /** Unsubscribes from the source. It throws what a teardown of the source throws. */
  protected stop(): void {
    this.end();
    this.#source?.unsubscribe();
  }

  /** Called once, at the end. */
  protected finalize(): void {}
}

/** Makes the operation for one subscription. */
type Make<T> = (sink: Sink<T>, control: SourceControl | undefined, isInPlace: boolean) => Operation<T>;

/**
 * Applies an operator to an Observable. On {@link Bytes} it reads in place, and so does the operator behind it. The operation
 * itself is the sink there, so that a byte passes no further object. Elsewhere a Subscriber is between the source and the
 * operation.
 */
export function operate<T>(source: Observable<T>, make: Make<T>): Observable<T> {
  const control = controlOf(source);
  if (source instanceof Bytes && control !== undefined) {
    const makeInPlace = make as unknown as Make<Uint8Array>;
    const lifted = new LiftedBytes(control, (sink) => {
      const operation = makeInPlace(sink, control, true);
      const reading = borrow(source, operation);
      operation.attach(reading);
      return new Subscription(() => {
        try {
          reading.unsubscribe();
        } finally {
          operation.end();
        }
      });
    });
    return lifted as Observable<unknown> as Observable<T>;
  }
  return derive(source, (subscriber) => {
    const operation = make(subscriber, control, false);
    // The subscriber closes the link even while the source is being subscribed: an endless synchronous source does not return.
    const link = new Subscriber<T>(operation);
    operation.attach(link);
    subscriber.add(link);
    subscriber.add(() => operation.end());
    source.subscribe(link);
  });
}
