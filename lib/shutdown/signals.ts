import { fromEvent, map, merge, type Observable } from 'rxjs';

/**
 * Signals of the process, as a shutdown: emits the name of each as it comes.
 *
 * ```text
 * signals()   ------SIGTERM----SIGINT--
 * ```
 *
 * Its listeners are there while it is subscribed, and no longer: the process's own behaviour comes back with them gone.
 *
 * @param names Which. @default SIGINT and SIGTERM
 * @returns Names of signals; it never completes.
 */
export function signals(...names: NodeJS.Signals[]): Observable<NodeJS.Signals> {
  // A name given twice would be a second signal each time.
  const wanted = new Set<NodeJS.Signals>(names.length > 0 ? names : ['SIGINT', 'SIGTERM']);
  return merge(...[...wanted].map((name) => fromEvent(process, name).pipe(map(() => name))));
}
