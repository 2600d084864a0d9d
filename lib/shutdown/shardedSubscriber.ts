import { Subscriber, Subscription, type TeardownLogic } from 'rxjs';

/** Fifty thousand subscriptions are two hundred in each shard: a list that is short enough to search. */
const SHARDS = 256;

/**
 * The subscriber behind a `mergeMap` that runs very many inner streams. Each of them adds a subscription to this one. RxJS keeps
 * subscriptions in one array; when a stream ends it searches that array and moves up all entries behind. To end forty thousand
 * streams takes seconds then. Here the subscriptions are distributed over shards, each with a short array.
 */
export class ShardedSubscriber extends Subscriber<never> {
  readonly #shards = Array.from({ length: SHARDS }, () => new Subscription());
  readonly #end: { error(error: unknown): void; complete(): void };
  #count = 0;

  constructor(end: { error(error: unknown): void; complete(): void }) {
    super();
    this.#end = end;
    for (const shard of this.#shards) super.add(shard);
  }

  override add(teardown: TeardownLogic): void {
    this.#shards[this.#count++ % SHARDS]?.add(teardown);
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
