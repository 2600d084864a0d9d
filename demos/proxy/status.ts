import { EMPTY, finalize, ignoreElements, interval, type Observable, tap } from 'rxjs';
import { count, paint, type StatusLine } from '../support/index.ts';
import type { Backend } from './backend.ts';

/** How often it is drawn, in milliseconds. */
const EVERY = 200;

/** Shows each backend on a line of the terminal: whether it is up, and how many are with it. */
export function backendStatus(backends: readonly Backend[], status: StatusLine): Observable<never> {
  if (!status.live) return EMPTY;
  const width = Math.max(...backends.map(({ name }) => name.length));
  const line = ({ name, up, active, served }: Backend) => {
    const mark = up ? paint('green', '●') : paint('red', '○');
    return `  ${mark} ${name.padEnd(width)}   ${paint('bold', count(active))} connections   ${count(served)} in all`;
  };
  return interval(EVERY).pipe(
    tap(() => status.show(backends.map(line).join('\n'))),
    ignoreElements(),
    finalize(() => status.clear()),
  );
}
