import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';

/** Where readings and windows are kept. Whatever it takes twice it keeps once, and a write that failed may be repeated. */
export interface Store {
  /** What it is, for the log. */
  readonly name: string;
  /**
   * Stores readings. When it resolves they are stored, all of them.
   *
   * @returns For each whether it is new, and not one that was stored before.
   */
  readings(batch: readonly Reading[]): Promise<readonly boolean[]>;
  /** Stores windows, in a stream of their own. */
  windows(batch: readonly Window[]): Promise<readonly boolean[]>;
  /** Lets go of it, once what is being written is written. */
  close(): Promise<void>;
}
