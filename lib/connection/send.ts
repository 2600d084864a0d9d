import {
  Observable,
  type OperatorFunction,
  Subscriber,
  type TeardownLogic,
  throwError,
  type Unsubscribable,
} from 'rxjs';
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
      const sending = new SendSubscriber(connection, subscriber);
      // Before the source is subscribed, because a source that emits at once may make a subscriber downstream unsubscribe.
      if (connection.usage.attach(sending)) {
        subscriber.add(sending);
        // An observer of the event `opened` may have aborted the connection, or unsubscribed.
        if (!sending.closed) connection.inContext(() => source.subscribe(sending));
        connection.usage.handlerStarted();
      }
    });
}

/** The subscriber of a handler's output. Every value passes it, so it does no more than it must. */
export abstract class OutputSubscriber<Target extends SendTarget = SendTarget>
  extends Subscriber<Data | undefined>
  implements Sender
{
  readonly connection: Target;
  #over = false;
  /** What it is subscribed to. RxJS would keep it in an array, which begins with room for seventeen. */
  #source: Unsubscribable | undefined;

  constructor(connection: Target) {
    super();
    this.connection = connection;
  }

  /** Everything is sent, or the connection is closed. */
  abstract flushed(): void;

  /** The source or one of its teardowns failed. */
  abstract failed(error: unknown): void;

  /** Does nothing, unless a subclass waits for the socket. */
  freed(): void {}

  override next(data: Data | undefined): void {
    if (!this.closed) this.connection.output.push(data);
  }

  /** The same for a chunk that is borrowed: it is overwritten after the call. */
  nextBorrowed(chunk: Uint8Array): void {
    if (!this.closed) this.connection.output.pushBorrowed(chunk);
  }

  override error(error: unknown): void {
    if (!this.closed) this.fail(error);
  }

  override complete(): void {
    if (this.closed) return;
    if (!hasStack('complete')) return onEmptyStack(() => this.complete());
    // The handler is unsubscribed from its input first, as a source is when its subscriber is done. Otherwise the end of the
    // connection would complete an input that has not ended.
    this.stop();
    this.connection.endNow();
  }

  override add(teardown: TeardownLogic): void {
    const isFirst = this.#source === undefined && !this.closed && typeof teardown === 'object' && teardown !== null;
    if (isFirst) this.#source = teardown;
    else super.add(teardown);
  }

  override remove(teardown: Exclude<TeardownLogic, void>): void {
    if (this.#source === teardown) this.#source = undefined;
    else super.remove(teardown);
  }

  stop(): void {
    this.#over = true;
    // A teardown of the handler may throw, and nothing else would catch it.
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

  /** If the subscriber downstream unsubscribes before the source has completed, the connection is aborted. */
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

/** Notifies the subscriber of `send()`. */
class SendSubscriber extends OutputSubscriber {
  readonly #to: Subscriber<never>;

  constructor(connection: SendTarget, to: Subscriber<never>) {
    super(connection);
    this.#to = to;
  }

  flushed(): void {
    this.connection.inNoContext(() => this.#to.complete());
  }

  failed(error: unknown): void {
    // The subscriber has unsubscribed: RxJS reports the error as unhandled.
    if (this.#to.closed) throwError(() => error).subscribe();
    else this.connection.inNoContext(() => this.#to.error(error));
  }
}
