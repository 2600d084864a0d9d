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
  /** The most that is written at once. @default 500 */
  readonly size?: number;
  /** How long the first one waits for others. @default 2 */
  readonly gather?: number;
  /** How long a write may take before it is said to be slow. @default 1000 */
  readonly patience?: number;
  /** @default asyncScheduler */
  readonly clock?: SchedulerLike;
}

/** Pauses before the next attempt, after one that failed: doubled from the first to the last, in milliseconds. */
const FIRST_PAUSE = 50;
const LAST_PAUSE = 1000;

interface Entry<T, R> {
  readonly item: T;
  readonly to: Subscriber<R>;
}

/**
 * Writes what many put in, in batches, one batch after the other, and tells each of them when its own is written.
 *
 * ```text
 * put(a), put(b), put(c)    a-b----c-------
 * write([a, b]), write([c])   (---|)(---|)     what comes while one is written is in the next
 * put(a)                    ------A|           its result
 * ```
 *
 * A write that fails is tried again, whole, until it succeeds: nothing that was put in gives up by itself. So a write must
 * not mind what it has written before. Who puts in is to wait for the result before putting in much more: that is the
 * bound, and `exchange` keeps it for each connection.
 */
export class Batches<T, R> {
  /** Why what was put in has to wait, from when it has for long; `undefined` while all goes well. */
  readonly trouble = new BehaviorSubject<string | undefined>(undefined);
  /** Writes that succeeded. */
  written = 0;
  /** Attempts that failed. */
  failures = 0;
  readonly #write: (batch: readonly T[]) => ObservableInput<readonly R[]>;
  readonly #options: Required<BatchesOptions>;
  readonly #entries: Entry<T, R>[] = [];
  readonly #stops = new Subject<void>();
  /** What is being written. */
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
   * Puts one in, when it is subscribed.
   *
   * @returns Its result, once it is written. Unsubscribing does not take it out again: the result has nobody to go to.
   */
  put(item: T): Observable<R> {
    return new Observable((to) => {
      this.#entries.push({ item, to });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is being written; also when it is stopped. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stopped || (this.#work === undefined && this.#entries.length === 0)) resolve();
      else this.#idle.push(resolve);
    });
  }

  /** Writes nothing any more. What may be unwritten is given back: nobody has been told that it is written. */
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

    // In hand before it is subscribed: it may be done at once.
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

  /** Writes a batch until it is written. Says so while it takes long. */
  #attempts(batch: readonly T[]): Observable<readonly R[]> {
    const { patience, clock } = this.#options;
    // Why it failed says more than that it is slow.
    const slow = timer(patience, clock).pipe(tap(() => this.#say(this.trouble.value ?? 'the store is slow')));
    const attempts = defer(() => this.#write(batch)).pipe(
      tap({ error: (error) => this.#failed(error) }),
      retry({ delay: (_, count) => timer(Math.min(FIRST_PAUSE * 2 ** (count - 1), LAST_PAUSE), clock) }),
    );
    return merge(attempts, slow.pipe(ignoreElements())).pipe(take(1), takeUntil(this.#stops));
  }

  #failed(error: unknown): void {
    this.failures++;
    this.#say(`the store cannot be written: ${reason(error)}`);
  }

  #say(trouble: string): void {
    if (this.trouble.value !== trouble) this.trouble.next(trouble);
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
