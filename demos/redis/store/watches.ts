/** A watched key, and how often it has changed since the first client began to watch it. */
interface Watched {
  readonly key: string;
  changes: number;
  watchers: number;
}

/** The state of a key when a client sent WATCH. */
export interface Watch {
  readonly watched: Watched;
  readonly seen: number;
}

/**
 * The keys that clients watch. A change costs one comparison while no key is watched, and one step however many clients watch
 * the key, because each client compares for itself at EXEC.
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

  /** The watched keys. */
  keys(): Iterable<string> {
    return this.#watched.keys();
  }
}
