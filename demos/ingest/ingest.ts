import { defer, firstValueFrom, from, type Observable, race, Subject, share, tap } from 'rxjs';
import { after } from '../support/index.ts';
import { Batches, type BatchesOptions } from './batches.ts';
import type { Sink } from './converse.ts';
import type { Reading } from './reading.ts';
import type { Store } from './stores/store.ts';
import { OTHERS, type Window, type WindowsOptions, windows } from './windows.ts';

/** The totals of a run. */
export interface IngestReport {
  /** New readings that were stored. */
  readonly stored: number;
  /** Readings that had been stored before, and were acknowledged again. */
  readonly duplicates: number;
  /** Lines that were not readings. */
  readonly refused: number;
  /** Readings that were received, but neither stored nor acknowledged. */
  readonly unstored: number;
  /** Windows that were stored. */
  readonly windows: number;
  /** Windows that were not stored. They can be computed again from the readings. */
  readonly unstoredWindows: number;
  readonly late: number;
  /** Readings in the shared window, because their devices had no window of their own. */
  readonly others: number;
  readonly batches: number;
  /** Attempts to write a batch that failed. */
  readonly failures: number;
}

/**
 * Writes readings to a store, and computes windows over the stored readings.
 *
 * ```text
 * store(reading)   --a-b-a'--|     a' is a again
 * stored           ---(ab)---|     new readings, once they are durable
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
   * Writes all pending readings and windows, and closes the store.
   *
   * @param grace How long that may take, in milliseconds; `Infinity` for no limit. Readings that are not stored by then are
   * not acknowledged.
   * @param interrupted Ends the wait early when it emits.
   */
  async close(grace: number, interrupted: Observable<unknown>): Promise<IngestReport> {
    const settled = async () => {
      await this.#readings.settled();
      this.#stored.complete();
      await this.#windows.settled();
    };
    await firstValueFrom(race(from(settled()), after(grace), interrupted));
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

  /** Counts here and not in `store`, because a reading counts even if its subscriber is closed by the time it is stored. */
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
