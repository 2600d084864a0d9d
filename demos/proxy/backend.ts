import { catchError, defer, finalize, type Observable, tap, throwError } from 'rxjs';
import { type Connection, connect } from '../../lib/index.ts';
import { address } from '../support/index.ts';

export interface BackendOptions {
  /** Connections it is given at once. */
  readonly max: number;
  /** Milliseconds it may take until a connection is made. */
  readonly timeout: number;
  /** Milliseconds in which it may take nothing of what is sent to it. */
  readonly stall: number;
  /** Failures in a row after which it is down. */
  readonly fall: number;
  /** Checks in a row after which it is up again. */
  readonly rise: number;
}

/** One of the servers behind the proxy: how to reach it, how many are with it, and whether it is well. */
export class Backend {
  readonly name: string;
  /** Connections that are with it, or are being made. */
  active = 0;
  /** All that ever were with it. */
  served = 0;
  up = true;
  /** Told when it goes down or comes up. */
  changed: (why?: unknown) => void = () => {};
  /** Told when it has a place for one more. */
  freed: () => void = () => {};
  readonly #options: BackendOptions;
  readonly #dial: Observable<Connection>;
  /** How often in a row it was not as it is said to be. */
  #doubts = 0;

  constructor(host: string, port: number, options: BackendOptions) {
    this.name = address(host, port);
    this.#options = options;
    this.#dial = connect({ host, port }, { timeout: options.timeout, stall: options.stall });
  }

  get hasRoom(): boolean {
    return this.up && this.active < this.#options.max;
  }

  /** A connection to it. It takes a place from now until the connection is closed, or could not be made. */
  connect(): Observable<Connection> {
    return defer(() => {
      this.active++;
      return this.#dial.pipe(
        tap(() => this.served++),
        catchError((error) => {
          this.failed(error);
          return throwError(() => error);
        }),
        finalize(() => {
          this.active--;
          this.freed();
        }),
      );
    });
  }

  /** A connection that takes no place: to see whether it is well. */
  get probe(): Observable<Connection> {
    return this.#dial;
  }

  failed(error: unknown): void {
    this.#seen(false, this.#options.fall, error);
  }

  answered(): void {
    this.#seen(true, this.#options.rise);
  }

  #seen(up: boolean, times: number, why?: unknown): void {
    this.#doubts = up === this.up ? 0 : this.#doubts + 1;
    if (this.#doubts < times) return;
    this.#doubts = 0;
    this.up = up;
    this.changed(why);
  }
}
