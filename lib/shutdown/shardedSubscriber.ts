import { Subscriber, Subscription, type TeardownLogic } from 'rxjs';

/** Fifty thousand in them are two hundred each: few enough to look through. */
const GROUPS = 256;

/**
 * The subscriber behind a `mergeMap` that runs very many streams. Each of them is a subscription of this one, and RxJS keeps
 * those in a list that it looks through, and moves up, whenever one has ended: forty thousand take seconds to leave. Here they
 * are in groups, each with a short list.
 */
export class ShardedSubscriber extends Subscriber<never> {
  readonly #groups = Array.from({ length: GROUPS }, () => new Subscription());
  readonly #end: { error(error: unknown): void; complete(): void };
  #count = 0;

  constructor(end: { error(error: unknown): void; complete(): void }) {
    super();
    this.#end = end;
    for (const group of this.#groups) super.add(group);
  }

  override add(teardown: TeardownLogic): void {
    this.#groups[this.#count++ % GROUPS]?.add(teardown);
  }

  override error(error: unknown): void {
    if (this.closed) return;
    try {
      this.#end.error(error);
    } finally {
      this.unsubscribe();
    }
  }

  override complete(): void {
    if (this.closed) return;
    try {
      this.#end.complete();
    } finally {
      this.unsubscribe();
    }
  }
}
