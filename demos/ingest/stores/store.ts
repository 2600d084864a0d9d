import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';

/** The store of readings and windows. It keeps a reading once, however often that is stored, so a failed write can be repeated. */
export interface Store {
  /** Its name for the log. */
  readonly name: string;
  /**
   * Stores readings. When the promise is resolved, all of them are stored.
   *
   * @returns For each reading, whether it is new: not stored before.
   */
  readings(batch: readonly Reading[]): Promise<readonly boolean[]>;
  /** Stores windows, in a stream of their own. */
  windows(batch: readonly Window[]): Promise<readonly boolean[]>;
  /** Closes the store once the writes in progress are done. */
  close(): Promise<void>;
}
