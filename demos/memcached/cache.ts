import type { Store } from './store.ts';

/** A line of `stats`. */
export type Stat = readonly [name: string, value: string | number];

/** What commands need of the server around the store. */
export interface Host {
  /** Figures about its connections, by the names that `stats` has for them. */
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

/** What every command has access to. */
export interface Cache {
  readonly store: Store;
  readonly host: Host;
  /** For `version`. */
  readonly version: string;
}
