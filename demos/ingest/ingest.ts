import { defer, firstValueFrom, from, type Observable, race, Subject, share, tap } from 'rxjs';
import { after } from '../support/index.ts';
import { Batches, type BatchesOptions } from './batches.ts';
import type { Sink } from './converse.ts';
import type { Reading } from './reading.ts';
import type { Store } from './stores/store.ts';
import { OTHERS, type Window, type WindowsOptions, windows } from './windows.ts';

/** What was done, all in all. */
export interface IngestReport {
  /** Readings that are stored and were not before. */
  readonly stored: number;
  /** Readings that had been stored before, and were acknowledged again. */
  readonly duplicates: number;
  /** Lines that were no readings. */
  readonly refused: number;
  /** Readings that were received, not stored, and not acknowledged. */
  readonly unstored: number;
  /** Windows that are stored. */
  readonly windows: number;
  /** Windows that are not: they can be made again from the readings. */
  readonly unstoredWindows: number;
  readonly late: number;
  /** Readings that are summed up together, since their devices had no window of their own. */
  readonly others: number;
  readonly batches: number;
  /** Attempts to write a batch that failed. */
  readonly failures: number;
}

/**
 * Readings on their way into a store, and the windows over those that arrived there.
 *
 * ```text
 * store(reading)   --a-b-a'--|     a' is a again
 * stored           ---(ab)---|     new ones, once they are stored: from here on nothing can take them back
 * windows          --------W-|     also written to the store, as its second stream
 * ```
 */
export class Ingest implements Sink {
  readonly windows: Observable<Window>;
  readonly trouble: Observable<string | undefined>;
  readonly #store: Store;
  readonly #readings: Batches<Reading, boolean>;
  readonly #windows: Batches<Window, boolean>;
  readonly #stored = new Subject<Reading>();
  #new = 0;
  #duplicates = 0;
  #refused = 0;
  #windowsStored = 0;
  #late = 0;
  #others = 0;

  constructor(store: Store, options: BatchesOptions & WindowsOptions = {}) {
    this.#store = store;
    this.#readings = new Batches((batch) => this.#write(batch), options);
    this.#windows = new Batches((batch) => from(store.windows(batch)), options);
    this.trouble = this.#readings.trouble;
    this.windows = this.#stored.pipe(windows(options), share());
    this.windows.subscribe((window) => {
      this.#late += window.late;
      if (window.device === OTHERS) this.#others += window.count + window.late;
      this.#windows.put(window).subscribe(() => this.#windowsStored++);
    });
  }

  /** Readings acknowledged so far, new or not. */
  get acknowledged(): number {
    return this.#new + this.#duplicates;
  }

  store(reading: Reading): Observable<boolean> {
    return this.#readings.put(reading);
  }

  refused(): void {
    this.#refused++;
  }

  /**
   * Finishes what is on its way, and closes the store.
   *
   * @param grace How long that may take, in milliseconds; `Infinity` for no limit. What is not stored by then has not been acknowledged either.
   * @param hurry Ends the wait before the time.
   */
  async close(grace: number, hurry: Observable<unknown>): Promise<IngestReport> {
    const settled = async () => {
      await this.#readings.settled();
      this.#stored.complete();
      await this.#windows.settled();
    };
    await firstValueFrom(race(from(settled()), after(grace), hurry));
    const unstored = this.#readings.stop().length;
    const unstoredWindows = this.#windows.stop().length;
    await this.#store.close();
    return {
      stored: this.#new,
      duplicates: this.#duplicates,
      refused: this.#refused,
      unstored,
      windows: this.#windowsStored,
      unstoredWindows,
      late: this.#late,
      others: this.#others,
      batches: this.#readings.written,
      failures: this.#readings.failures + this.#windows.failures,
    };
  }

  /** Not where it was put in: who did that may be gone when it is stored, and then it counts all the same. */
  #write(batch: readonly Reading[]): Observable<readonly boolean[]> {
    return defer(() => this.#store.readings(batch)).pipe(
      tap((results) => {
        for (const [i, reading] of batch.entries()) {
          if (results[i] !== true) this.#duplicates++;
          else {
            this.#new++;
            this.#stored.next(reading);
          }
        }
      }),
    );
  }
}
