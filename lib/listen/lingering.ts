import { EMPTY, Observable } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import { defaultLimits } from './limits.ts';

/** Milliseconds for which the input of a refused connection is read and discarded. */
const LINGER = 100;

/**
 * The refused connections that linger: our FIN is sent, and their input is discarded for a short time. A close with unread
 * input would send a RST instead.
 */
export class Lingering {
  readonly #connections = new Set<SocketConnection>();
  readonly #max: number;
  #emptied: (() => void) | undefined;

  /** @param max How many may linger at a time. */
  constructor(max = defaultLimits().lingering) {
    this.#max = max;
  }

  /** Milliseconds for which one more connection may linger; 0 when too many do. */
  get time(): number {
    return this.#connections.size < this.#max ? LINGER : 0;
  }

  add(connection: SocketConnection): void {
    this.#connections.add(connection);
  }

  delete(connection: SocketConnection): void {
    if (this.#connections.delete(connection) && this.#connections.size === 0) this.#emptied?.();
  }

  /** Completes when none is left; for one subscriber. */
  get over(): Observable<never> {
    return new Observable((subscriber) => {
      if (this.#connections.size === 0) return EMPTY.subscribe(subscriber);
      this.#emptied = () => subscriber.complete();
      return () => {
        this.#emptied = undefined;
      };
    });
  }

  /** Closes all that are left. `over` does not wait for their sockets. */
  close(): void {
    const left = [...this.#connections];
    this.#connections.clear();
    for (const connection of left) connection.close();
    this.#emptied?.();
  }
}
