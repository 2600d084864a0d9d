import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';

/** A store of readings and windows. A reading that is stored several times is kept once, so a failed write can be repeated. */
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
