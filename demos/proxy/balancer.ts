import { catchError, defer, finalize, type Observable, race, Subject, switchMap, take, throwError } from 'rxjs';
import type { Connection } from '../../lib/index.ts';
import { after } from '../support/index.ts';
import type { Backend } from './backend.ts';

/** Nobody can serve a client: all backends are down, or full for too long, or were tried. */
export class NoBackendError extends Error {
  override readonly name = 'NoBackendError';
}

/** Gives each client the backend with the least connections. */
export class Balancer {
  readonly #backends: readonly Backend[];
  readonly #wait: number;
  /** Who waits for a place, first come first served. */
  readonly #line = new Set<Subject<void>>();

  /**
   * @param backends Where to.
   * @param wait Milliseconds a client may wait while all that are up are full; `Infinity` for no limit.
   */
  constructor(backends: readonly Backend[], wait: number) {
    this.#backends = backends;
    this.#wait = wait;
    for (const backend of backends) backend.freed = () => this.#next();
  }

  /** Somebody came up, or has room, or nobody is up any more. */
  changed(): void {
    if (!this.#backends.some(({ up }) => up)) for (const waiter of this.#line) waiter.next();
    else for (let room = this.#line.size; room > 0; room--) this.#next();
  }

  /**
   * A connection to whoever has the fewest; if it cannot be made, to the next one, until all have been tried.
   *
   * @param tried Those that could not be reached.
   */
  connect(tried: ReadonlySet<Backend> = new Set<Backend>()): Observable<Connection> {
    return defer(() => {
      const left = this.#backends.filter((backend) => backend.up && !tried.has(backend));
      if (left.length === 0) return throwError(() => new NoBackendError(nobody(tried)));
      const [best] = left.filter(({ hasRoom }) => hasRoom).sort(byLoad);
      if (best === undefined) return this.#place().pipe(switchMap(() => this.connect(tried)));
      return best.connect().pipe(catchError(() => this.connect(new Set([...tried, best]))));
    });
  }

  /** Emits when it is worth looking again. */
  #place(): Observable<unknown> {
    return defer(() => {
      const turn = new Subject<void>();
      this.#line.add(turn);
      const full = new NoBackendError(`all backends have been full for ${this.#wait} ms`);
      const late = after(this.#wait).pipe(switchMap(() => throwError(() => full)));
      return race(turn, late).pipe(
        take(1),
        finalize(() => this.#line.delete(turn)),
      );
    });
  }

  #next(): void {
    const [first] = this.#line;
    if (first === undefined || !this.#backends.some(({ hasRoom }) => hasRoom)) return;
    this.#line.delete(first);
    first.next();
  }
}

const byLoad = (one: Backend, other: Backend) => one.active - other.active || one.served - other.served;

const nobody = ({ size }: ReadonlySet<Backend>) =>
  size > 0 ? `no backend is left: ${size} could not be reached` : 'all backends are down';
