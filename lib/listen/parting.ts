import { EMPTY, Observable } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';

/** How long what a refused connection sends is read and discarded, in milliseconds, and for how many at once. */
const LINGER = 100;
const MAX = 1000;

/**
 * The connections that were refused, and linger: each has our FIN, and what it sends is discarded for a short time. To close
 * with unread input would send a RST instead.
 */
export class Parting {
  readonly #all = new Set<SocketConnection>();
  #emptied: (() => void) | undefined;

  /** Milliseconds for which one more may linger. */
  get linger(): number {
    return this.#all.size < MAX ? LINGER : 0;
  }

  add(connection: SocketConnection): void {
    this.#all.add(connection);
  }

  delete(connection: SocketConnection): void {
    if (this.#all.delete(connection) && this.#all.size === 0) this.#emptied?.();
  }

  /** Completes when all have left; for one subscriber. */
  get over(): Observable<never> {
    return new Observable((to) => {
      if (this.#all.size === 0) return EMPTY.subscribe(to);
      this.#emptied = () => to.complete();
      return () => {
        this.#emptied = undefined;
      };
    });
  }

  /** Closes those that are left, and waits for none of them any more. */
  close(): void {
    const left = [...this.#all];
    this.#all.clear();
    for (const connection of left) connection.close();
    this.#emptied?.();
  }
}
