import { Observable, type OperatorFunction, Subscriber, Subscription, type TeardownLogic, throwError } from 'rxjs';
import type { SocketConnection } from './socketConnection.ts';
import { hasStack, onEmptyStack } from './stack.ts';
import type { Data } from './writeQueue.ts';

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
export function send(connection: SocketConnection): OperatorFunction<Data | undefined, never> {
  return (source) =>
    new Observable<never>((subscriber) => {
      const sending = new Sent(connection, subscriber);
      // Before the source is subscribed: one that emits at once may make somebody downstream unsubscribe.
      if (connection.attach(sending)) {
        subscriber.add(sending);
        // Whoever heard that the connection is taken may have broken it off, or have left.
        if (!sending.closed) connection.inContext(() => source.subscribe(sending));
        connection.handlerStarted();
      }
    });
}

/** The subscriber of a handler's output. It is on the way of every value, and does no more than it must. */
export abstract class Sending extends Subscriber<Data | undefined> implements Sender {
  readonly connection: SocketConnection;
  #over = false;
  /** What it is subscribed to. RxJS would keep it in a list, which begins with room for seventeen. */
  #source: Subscription | undefined;

  constructor(connection: SocketConnection) {
    super();
    this.connection = connection;
  }

  /** All has left, or the connection is gone. */
  abstract flushed(): void;

  /** The source failed, or one of its teardowns did. */
  abstract failed(error: unknown): void;

  override next(data: Data | undefined): void {
    if (!this.closed) this.connection.push(data);
  }

  override error(error: unknown): void {
    if (!this.closed) this.fail(error);
  }

  override complete(): void {
    if (this.closed) return;
    if (!hasStack('complete')) return onEmptyStack(() => this.complete());
    // First of all the handler lets go of its input, as any source is let go of by who is done: it is not to hear an end of
    // it that has not come.
    this.stop();
    this.connection.endNow();
  }

  override add(teardown: TeardownLogic): void {
    const isFirst = this.#source === undefined && !this.closed && teardown instanceof Subscription;
    if (isFirst) this.#source = teardown;
    else super.add(teardown);
  }

  override remove(teardown: Exclude<TeardownLogic, void>): void {
    if (this.#source === teardown) this.#source = undefined;
    else super.remove(teardown);
  }

  stop(): void {
    this.#over = true;
    // A teardown of the handler may throw, and nobody else would be there to catch it.
    try {
      this.unsubscribe();
    } catch (error) {
      this.connection.closeAsFailed(error);
      this.failed(error);
    }
  }

  fail(error: unknown): void {
    if (!hasStack('error')) return onEmptyStack(() => this.fail(error));
    this.connection.closeAsFailed(error);
    this.stop();
    this.connection.endNow();
    this.failed(error);
  }

  /** Where nobody downstream waits any more before all is said, the connection is broken off. */
  override unsubscribe(): void {
    if (!this.#over && !this.closed) this.connection.abort();
    const source = this.#source;
    this.#source = undefined;
    try {
      super.unsubscribe();
    } finally {
      source?.unsubscribe();
    }
  }
}

/** Tells whoever is subscribed to `send()`. */
class Sent extends Sending {
  readonly #to: Subscriber<never>;

  constructor(connection: SocketConnection, to: Subscriber<never>) {
    super(connection);
    this.#to = to;
  }

  flushed(): void {
    this.connection.inNoContext(() => this.#to.complete());
  }

  failed(error: unknown): void {
    // The subscriber is gone: RxJS reports the error as unhandled.
    if (this.#to.closed) throwError(() => error).subscribe();
    else this.connection.inNoContext(() => this.#to.error(error));
  }
}
