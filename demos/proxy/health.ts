import {
  catchError,
  defaultIfEmpty,
  EMPTY,
  exhaustMap,
  filter,
  finalize,
  map,
  mergeMap,
  type Observable,
  of,
  scan,
  take,
  tap,
} from 'rxjs';
import { type Connection, DeadlineError, deadline, encodeProxyHeader } from '../../lib/index.ts';
import { every } from '../support/index.ts';
import type { Backend } from './backend.ts';

export interface HealthOptions {
  /** Milliseconds from the start of one check to the start of the next; `Infinity` for one check. */
  readonly interval: number;
  /** Milliseconds a check may take, once connected. */
  readonly timeout: number;
  /** Bytes to send, if an accepted connection is not enough. @default nothing */
  readonly ask?: string;
  /** Prefix that the answer must have. @default anything */
  readonly expect?: string;
  /** Whether the backend expects the PROXY header first. */
  readonly proxyProtocol: boolean;
}

/** Checks a backend periodically, and records each result in it. It emits nothing, and never completes. */
export function watchHealth(backend: Backend, options: HealthOptions): Observable<never> {
  return every(options.interval).pipe(
    exhaustMap(() =>
      backend.probe.pipe(
        mergeMap((connection) => check(connection, options)),
        tap(() => backend.answered()),
        catchError((error) => {
          backend.failed(error);
          return EMPTY;
        }),
      ),
    ),
    filter((_answer): _answer is never => false),
  );
}

/** Emits once if the backend answers as expected, and errors otherwise. */
function check(connection: Connection, options: HealthOptions): Observable<unknown> {
  const { ask, expect = '', timeout, proxyProtocol } = options;
  if (proxyProtocol) void connection.write(encodeProxyHeader({ command: 'local' }));
  if (ask === undefined && expect === '') {
    // The connection was accepted, and nothing more is checked.
    connection.end();
    return of(undefined);
  }
  // There may be nothing to ask, because in some protocols the server sends first.
  if (ask !== undefined) void connection.write(ask);
  return connection.pipe(
    deadline(timeout),
    scan((answer, chunk) => answer + Buffer.from(chunk).toString('latin1'), ''),
    // Chunks may end anywhere: wait until the answer is long enough, or differs from what is expected.
    filter((answer) => answer.length >= Math.max(1, expect.length) || !expect.startsWith(answer)),
    take(1),
    defaultIfEmpty(''),
    map((answer) => {
      if (answer !== '' && answer.startsWith(expect)) return;
      throw new Error(
        answer === '' ? 'it closed without an answer' : `it answered ${JSON.stringify(answer.slice(0, 40))}`,
      );
    }),
    catchError((error) => {
      if (error instanceof DeadlineError) throw new Error(`it did not answer within ${timeout} ms`, { cause: error });
      throw error;
    }),
    finalize(() => connection.end()),
  );
}
