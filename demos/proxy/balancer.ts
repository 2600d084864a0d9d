import { catchError, defer, finalize, type Observable, race, Subject, switchMap, take, throwError } from 'rxjs';
import type { Connection } from '../../lib/index.ts';
import { after } from '../support/index.ts';
import type { Backend } from './backend.ts';

/** No backend can serve a client: all are down, have been full for too long, or could not be reached. */
export class NoBackendError extends Error {
  override readonly name = 'NoBackendError';
}

/** Gives each client the backend with the fewest connections. */
export class Balancer {
  readonly #backends: readonly Backend[];
  readonly #wait: number;
  /** Clients that wait for a slot, in order of arrival. */
  readonly #waiting = new Set<Subject<void>>();

  /**
   * @param backends The backends to choose from.
   * @param wait Milliseconds that a client may wait while every backend that is up is full; `Infinity` for no limit.
   */
  constructor(backends: readonly Backend[], wait: number) {
    this.#backends = backends;
    this.#wait = wait;
    for (const backend of backends) backend.freed = () => this.#next();
  }

  /** A backend has come up or gone down. If none is up, every waiting client selects again, and fails. */
  changed(): void {
    if (!this.#backends.some(({ up }) => up)) for (const waiter of this.#waiting) waiter.next();
    else for (let room = this.#waiting.size; room > 0; room--) this.#next();
  }

  /**
   * Connects to the backend with the fewest connections; if that fails, to the next one, until all have been tried.
   *
   * @param tried Backends that could not be reached.
   */
  connect(tried: ReadonlySet<Backend> = new Set<Backend>()): Observable<Connection> {
    return defer(() => {
      const left = this.#backends.filter((backend) => backend.up && !tried.has(backend));
      if (left.length === 0) return throwError(() => new NoBackendError(whyNone(tried)));
      const [best] = left.filter(({ hasRoom }) => hasRoom).sort(byLoad);
      if (best === undefined) return this.#slot().pipe(switchMap(() => this.connect(tried)));
      return best.connect().pipe(catchError(() => this.connect(new Set([...tried, best]))));
    });
  }

  /** Emits when a slot may be free, or when no backend is up any more. */
  #slot(): Observable<unknown> {
    return defer(() => {
      const waiter = new Subject<void>();
      this.#waiting.add(waiter);
      const full = new NoBackendError(`all backends have been full for ${this.#wait} ms`);
      const late = after(this.#wait).pipe(switchMap(() => throwError(() => full)));
      return race(waiter, late).pipe(
        take(1),
        finalize(() => this.#waiting.delete(waiter)),
      );
    });
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined || !this.#backends.some(({ hasRoom }) => hasRoom)) return;
    this.#waiting.delete(first);
    first.next();
  }
}

const byLoad = (one: Backend, other: Backend) => one.active - other.active || one.served - other.served;

const whyNone = ({ size }: ReadonlySet<Backend>) =>
  size > 0 ? `no backend is left: ${size} could not be reached` : 'all backends are down';
