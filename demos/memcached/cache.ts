import type { Store } from './store.ts';

/** A line of `stats`. */
export type Stat = readonly [name: string, value: string | number];

/** What the commands ask of the server around the store. */
export interface Host {
  /** What it knows of its connections, by the names of `stats`. */
  stats(): Iterable<Stat>;
  /** For `stats conns`. */
  connections(): Iterable<Stat>;
  /** For `stats settings`. */
  settings(): Iterable<Stat>;
  /** For `stats reset`. */
  resetStats(): void;
  /** For `shutdown`. `undefined` where the command is not allowed. */
  readonly shutdown: (() => void) | undefined;
  /** For `verbosity`. */
  setVerbosity(level: number): void;
  /** Whether `flush_all` is allowed. */
  readonly flushing: boolean;
}

/** What every command works on. */
export interface Cache {
  readonly store: Store;
  readonly host: Host;
  /** For `version`. */
  readonly version: string;
}
