import { catchError, defer, finalize, type Observable, tap, throwError } from 'rxjs';
import { type Connection, connect } from '../../lib/index.ts';
import { address } from '../support/index.ts';

export interface BackendOptions {
  /** Connections at once. */
  readonly max: number;
  /** Milliseconds to make a connection. */
  readonly timeout: number;
  /** Milliseconds for which the backend may read nothing of the output that is sent to it. */
  readonly stall: number;
  /** Failures in a row after which the backend is down. */
  readonly fall: number;
  /** Successful checks in a row after which the backend is up again. */
  readonly rise: number;
}

/** One of the servers behind the proxy: its address, its connections, and its health. */
export class Backend {
  readonly name: string;
  /** Connections that are open, or are being made. */
  active = 0;
  /** Connections that were ever made. */
  served = 0;
  up = true;
  /** Called when the backend goes down or comes up. */
  changed: (why?: unknown) => void = () => {};
  /** Called when a connection has ended, so that its slot is free. */
  freed: () => void = () => {};
  readonly #options: BackendOptions;
  readonly #dial: Observable<Connection>;
  /** Results in a row that contradict `up`. */
  #contradictions = 0;

  constructor(host: string, port: number, options: BackendOptions) {
    this.name = address(host, port);
    this.#options = options;
    this.#dial = connect({ host, port }, { timeout: options.timeout, stall: options.stall });
  }

  get hasRoom(): boolean {
    return this.up && this.active < this.#options.max;
  }

  /** Connects. The connection occupies a slot from the subscription until it is closed, or could not be made. */
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

  /** Connects without occupying a slot, for a health check. */
  get probe(): Observable<Connection> {
    return this.#dial;
  }

  failed(error: unknown): void {
    this.#record(false, this.#options.fall, error);
  }

  answered(): void {
    this.#record(true, this.#options.rise);
  }

  #record(up: boolean, times: number, why?: unknown): void {
    this.#contradictions = up === this.up ? 0 : this.#contradictions + 1;
    if (this.#contradictions < times) return;
    this.#contradictions = 0;
    this.up = up;
    this.changed(why);
  }
}
