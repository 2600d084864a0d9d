import { Observable, type OperatorFunction, Subscriber, Subscription, type TeardownLogic, throwError } from 'rxjs';
import type { Output } from './output.ts';
import { hasStack, onEmptyStack } from './stack.ts';
import type { Sender, Usage } from './usage.ts';
import type { Data } from './writeQueue.ts';

/** The connection that a sender writes to. */
export interface SendTarget {
  readonly output: Output;
  readonly usage: Usage;
  /** Ends it in good order; the caller has checked the stack. */
  endNow(): void;
  abort(): void;
  closeAsFailed(error: unknown): void;
  inContext(work: () => void): void;
  inNoContext(work: () => void): void;
}

/** The operator behind `connection.send()`; see there. */
export function send(connection: SendTarget): OperatorFunction<Data | undefined, never> {
  return (source) =>
    new Observable<never>((subscriber) => {
      const sending = new Sent(connection, subscriber);
      // Before the source is subscribed: one that emits at once may make somebody downstream unsubscribe.
      if (connection.usage.attach(sending)) {
        subscriber.add(sending);
        // Whoever heard that the connection is taken may have broken it off, or have left.
        if (!sending.closed) connection.inContext(() => source.subscribe(sending));
        connection.usage.handlerStarted();
      }
    });
}

/** The subscriber of a handler's output. It is on the way of every value, and does no more than it must. */
export abstract class Sending<Target extends SendTarget = SendTarget>
  extends Subscriber<Data | undefined>
  implements Sender
{
  readonly connection: Target;
  #over = false;
  /** What it is subscribed to. RxJS would keep it in a list, which begins with room for seventeen. */
  #source: Subscription | undefined;

  constructor(connection: Target) {
    super();
    this.connection = connection;
  }

  /** All has left, or the connection is gone. */
  abstract flushed(): void;

  /** The source failed, or one of its teardowns did. */
  abstract failed(error: unknown): void;

  override next(data: Data | undefined): void {
    if (!this.closed) this.connection.output.push(data);
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

  constructor(connection: SendTarget, to: Subscriber<never>) {
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
