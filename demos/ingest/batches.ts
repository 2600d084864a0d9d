import {
  asyncScheduler,
  BehaviorSubject,
  defer,
  ignoreElements,
  merge,
  Observable,
  type ObservableInput,
  retry,
  type SchedulerLike,
  Subject,
  type Subscriber,
  Subscription,
  take,
  takeUntil,
  tap,
  timer,
} from 'rxjs';
import { reason } from '../support/reason.ts';

/** How to batch. Times are in milliseconds. */
export interface BatchesOptions {
  /** Items in a batch, at most. @default 500 */
  readonly size?: number;
  /** How long the first item of a batch waits for more. @default 2 */
  readonly gather?: number;
  /** How long a write may take before it is reported as slow. @default 1000 */
  readonly patience?: number;
  /** @default asyncScheduler */
  readonly clock?: SchedulerLike;
}

/** Pause after a failed attempt, in milliseconds. It doubles with each attempt, from the first value up to the last. */
const FIRST_PAUSE = 50;
const LAST_PAUSE = 1000;

interface Entry<T, R> {
  readonly item: T;
  readonly to: Subscriber<R>;
}

/**
 * Writes the items of many callers in batches, one batch at a time, and emits to each caller the result of its item.
 *
 * ```text
 * put(a), put(b), put(c)    a-b----c-------
 * write([a, b]), write([c])   (---|)(---|)     items that arrive during a write are in the next batch
 * put(a)                    ------A|           its result
 * ```
 *
 * A failed write is repeated, as a whole, until it succeeds: an item never fails. Therefore a write must be idempotent. The
 * number of items in memory is bounded only by the callers: each waits for results before it puts in many more items, as
 * `exchange` does for each connection.
 */
export class Batches<T, R> {
  /** Why items have to wait, once a write has failed or is slow; otherwise `undefined`. */
  readonly trouble = new BehaviorSubject<string | undefined>(undefined);
  /** Writes that have succeeded. */
  written = 0;
  /** Attempts that have failed. */
  failures = 0;
  readonly #write: (batch: readonly T[]) => ObservableInput<readonly R[]>;
  readonly #options: Required<BatchesOptions>;
  readonly #entries: Entry<T, R>[] = [];
  readonly #stops = new Subject<void>();
  /** The batch that is being written. */
  #batch: readonly T[] = [];
  #work: Subscription | undefined;
  #gathering: Subscription | undefined;
  #idle: (() => void)[] = [];
  #stopped = false;

  constructor(write: (batch: readonly T[]) => ObservableInput<readonly R[]>, options: BatchesOptions = {}) {
    const { size = 500, gather = 2, patience = 1000, clock = asyncScheduler } = options;
    this.#write = write;
    this.#options = { size, gather, patience, clock };
  }

  /**
   * Puts in one item on subscription.
   *
   * @returns The result, once the item is written. Unsubscribing does not remove the item: it is written, and its result dropped.
   */
  put(item: T): Observable<R> {
    return new Observable((to) => {
      this.#entries.push({ item, to });
      this.#schedule();
    });
  }

  /** Resolved when no item waits and none is being written, or when it is stopped. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stopped || (this.#work === undefined && this.#entries.length === 0)) resolve();
      else this.#idle.push(resolve);
    });
  }

  /** Stops writing. @returns The items that may be unwritten: none of them has a result. */
  stop(): readonly T[] {
    this.#stopped = true;
    this.#stops.next();
    this.#gathering?.unsubscribe();
    this.#settle();
    return [...this.#batch, ...this.#entries.splice(0).map(({ item }) => item)];
  }

  #schedule(): void {
    if (this.#work !== undefined || this.#stopped) return;
    const { size, gather, clock } = this.#options;
    if (this.#entries.length >= size) this.#next();
    else this.#gathering ??= timer(gather, clock).subscribe(() => this.#next());
  }

  #next(): void {
    this.#gathering?.unsubscribe();
    this.#gathering = undefined;
    if (this.#stopped) return;
    const batch = this.#entries.splice(0, this.#options.size);
    if (batch.length === 0) return this.#settle();

    // Set before the subscription, because the write may complete synchronously.
    const work = new Subscription();
    this.#work = work;
    this.#batch = batch.map(({ item }) => item);
    work.add(
      this.#attempts(this.#batch).subscribe((results) => {
        this.#work = undefined;
        this.#batch = [];
        this.written++;
        if (this.trouble.value !== undefined) this.trouble.next(undefined);
        for (const [i, { to }] of batch.entries()) {
          to.next(results[i] as R);
          to.complete();
        }
        this.#next();
      }),
    );
  }

  /** Repeats the write of a batch until it succeeds. Reports trouble while that takes long. */
  #attempts(batch: readonly T[]): Observable<readonly R[]> {
    const { patience, clock } = this.#options;
    // The reason of a failure is kept, because it explains more than that the store is slow.
    const slow = timer(patience, clock).pipe(tap(() => this.#report(this.trouble.value ?? 'the store is slow')));
    const attempts = defer(() => this.#write(batch)).pipe(
      tap({ error: (error) => this.#failed(error) }),
      retry({ delay: (_, count) => timer(Math.min(FIRST_PAUSE * 2 ** (count - 1), LAST_PAUSE), clock) }),
    );
    return merge(attempts, slow.pipe(ignoreElements())).pipe(take(1), takeUntil(this.#stops));
  }

  #failed(error: unknown): void {
    this.failures++;
    this.#report(`the store cannot be written: ${reason(error)}`);
  }

  #report(trouble: string): void {
    if (this.trouble.value !== trouble) this.trouble.next(trouble);
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
