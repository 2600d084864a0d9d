/** A key under watch, and how often it has changed since somebody began to watch it. */
interface Watched {
  readonly key: string;
  changes: number;
  watchers: number;
}

/** What a client saw when it said WATCH. */
export interface Watch {
  readonly watched: Watched;
  readonly seen: number;
}

/**
 * The keys that some client watches. A change costs one comparison as long as nobody watches anything, and one step
 * however many watch the same key: who watches looks for himself, at EXEC.
 */
export class Watches {
  readonly #watched = new Map<string, Watched>();

  watch(key: string): Watch {
    let watched = this.#watched.get(key);
    if (watched === undefined) {
      watched = { key, changes: 0, watchers: 0 };
      this.#watched.set(key, watched);
    }
    watched.watchers++;
    return { watched, seen: watched.changes };
  }

  unwatch({ watched }: Watch): void {
    if (--watched.watchers === 0) this.#watched.delete(watched.key);
  }

  changed(key: string): void {
    if (this.#watched.size === 0) return;
    const watched = this.#watched.get(key);
    if (watched !== undefined) watched.changes++;
  }

  /** The keys under watch. */
  keys(): Iterable<string> {
    return this.#watched.keys();
  }
}
