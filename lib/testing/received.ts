import { Observable, Subject } from 'rxjs';
import type { Defer } from './microtaskQueue.ts';

/** The bytes that a client has received: all of them together, and as an Observable that replays them. */
export class Received {
  readonly #defer: Defer;
  readonly #chunks: Uint8Array[] = [];
  /** Emits what is received from now on. Made for the first subscriber only. */
  #live: Subject<Uint8Array> | undefined;
  /** How many of the chunks `#live` has emitted, or were there before it. */
  #emitted = 0;
  #isComplete = false;
  #error: Error | undefined;

  constructor(defer: Defer) {
    this.#defer = defer;
  }

  get length(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** First replays the chunks that were received before the subscription. */
  get chunks(): Observable<Uint8Array> {
    return new Observable((subscriber) => {
      this.#live ??= this.#makeLive();
      for (const chunk of this.#chunks.slice(0, this.#emitted)) subscriber.next(chunk);
      return this.#live.subscribe(subscriber);
    });
  }

  #makeLive(): Subject<Uint8Array> {
    const live = new Subject<Uint8Array>();
    this.#emitted = this.#chunks.length;
    if (this.#error) live.error(this.#error);
    else if (this.#isComplete) live.complete();
    return live;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    const live = this.#live;
    if (live === undefined) return;
    this.#defer(() => {
      this.#emitted++;
      live.next(chunk);
    });
  }

  /** Completes after the chunks that are still to be emitted. */
  complete(): void {
    this.#isComplete = true;
    const live = this.#live;
    if (live) this.#defer(() => live.complete());
  }

  /** Errors after the chunks that are still to be emitted. */
  error(error: Error): void {
    this.#error = error;
    const live = this.#live;
    if (live) this.#defer(() => live.error(error));
  }

  /** Completes at once: chunks that are still to be emitted are dropped. */
  stop(): void {
    this.#isComplete = true;
    this.#live?.complete();
  }

  /** Errors at once. An earlier error stays. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#live?.error(error);
  }
}
