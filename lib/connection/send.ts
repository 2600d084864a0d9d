import { Observable, type OperatorFunction, Subscriber } from 'rxjs';
import type { Connection } from './connection.ts';
import type { Data } from './writes.ts';

/** What a connection asks of the one who sends on it. */
export interface Sender {
  /** The connection ends: he stops in this very tick, and runs no more. */
  stop(): void;
  /** All that he wrote has left, or the connection is gone. */
  flushed(): void;
  /** His work threw where only the connection could catch it. */
  fail(error: unknown): void;
}

/** The operator behind `connection.send()`; see there. */
export function send(connection: Connection): OperatorFunction<Data | undefined, never> {
  return (source) =>
    new Observable<never>((subscriber) => {
      answer(connection, () => source, subscriber, subscriber);
    });
}

/** Who hears how the sending went. */
export interface Outcome {
  /** All has left, or the connection is gone. */
  complete(): void;
  /** The source failed. */
  error(error: unknown): void;
}

/** Makes a source, and sends what it emits, for as long as somebody is subscribed. */
export function answer(
  connection: Connection,
  make: () => Observable<Data | undefined>,
  subscriber: Subscriber<never>,
  outcome: Outcome,
): void {
  const sending = new Sending(connection, outcome);
  if (!connection.attach(sending)) return;
  // Before the source is subscribed: one that emits at once may make somebody downstream unsubscribe.
  subscriber.add(sending);
  // Whoever heard that the connection is taken may have broken it off, or have left.
  if (sending.closed) return;
  let source: Observable<Data | undefined>;
  try {
    source = make();
  } catch (error) {
    return sending.error(error);
  }
  source.subscribe(sending);
}

/** The subscriber of the handler's output. It is on the way of every value, and does no more than it must. */
class Sending extends Subscriber<Data | undefined> implements Sender {
  readonly #connection: Connection;
  readonly #to: Outcome;
  #over = false;

  constructor(connection: Connection, to: Outcome) {
    super();
    this.#connection = connection;
    this.#to = to;
  }

  override next(data: Data | undefined): void {
    if (!this.closed) this.#connection.push(data);
  }

  override error(error: unknown): void {
    if (!this.closed) this.fail(error);
  }

  override complete(): void {
    if (this.closed) return;
    // First of all the handler lets go of its input, as any source is let go of by who is done: it is not to hear an end of
    // it that has not come.
    this.stop();
    this.#connection.end();
  }

  stop(): void {
    this.#over = true;
    // A teardown of the handler may throw, and nobody else would be there to catch it.
    try {
      this.unsubscribe();
    } catch (error) {
      this.#connection.blame(error);
      this.#to.error(error);
    }
  }

  flushed(): void {
    this.#to.complete();
  }

  fail(error: unknown): void {
    this.#connection.blame(error);
    this.stop();
    this.#connection.end();
    this.#to.error(error);
  }

  /** Where nobody downstream waits any more before all is said, the connection is broken off. */
  override unsubscribe(): void {
    if (!this.#over && !this.closed) this.#connection.abort();
    super.unsubscribe();
  }
}
