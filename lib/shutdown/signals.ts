import { Observable } from 'rxjs';

/** Signals that come within so many milliseconds are one. */
const SAME = 250;

/** The subscribers of each signal. All of them share one listener of the process, as it warns of eleven. */
const subscribers = new Map<NodeJS.Signals, Set<(name: NodeJS.Signals) => void>>();

function listener(name: NodeJS.Signals): void {
  const all = subscribers.get(name) ?? [];
  // A copy: one that is told may unsubscribe, or subscribe anew.
  for (const told of [...all]) told(name);
}

/**
 * Signals of the process, as a shutdown: emits the name of each as it comes.
 *
 * ```text
 * signals()   ------SIGTERM----SIGINT--
 * ```
 *
 * One Ctrl-C may come twice: the terminal sends it to every process of `npm run`, and `npm` and `tsx` each pass on what they
 * got. So what comes within a quarter of a second of a signal that was emitted is dropped, whichever of the signals it is.
 *
 * The process has one listener for each signal while any subscription is there, and no longer: its own behaviour comes back
 * with the last one gone.
 *
 * @param names Which. @default SIGINT and SIGTERM
 * @returns Names of signals; it never completes.
 */
export function signals(...names: NodeJS.Signals[]): Observable<NodeJS.Signals> {
  const wanted = new Set<NodeJS.Signals>(names.length > 0 ? names : ['SIGINT', 'SIGTERM']);
  return new Observable((subscriber) => {
    let last = Number.NEGATIVE_INFINITY;
    const told = (name: NodeJS.Signals) => {
      const now = performance.now();
      // A clock that was set back, as that of a test, measures nothing.
      if (now >= last && now - last < SAME) return;
      last = now;
      subscriber.next(name);
    };
    for (const name of wanted) join(name, told);
    return () => {
      for (const name of wanted) leave(name, told);
    };
  });
}

function join(name: NodeJS.Signals, told: (name: NodeJS.Signals) => void): void {
  const all = subscribers.get(name) ?? new Set();
  subscribers.set(name, all.add(told));
  // Asked of the process, from which others may have removed it.
  if (!process.listeners(name).includes(listener)) process.on(name, listener);
}

function leave(name: NodeJS.Signals, told: (name: NodeJS.Signals) => void): void {
  const all = subscribers.get(name);
  all?.delete(told);
  if (all?.size === 0) process.off(name, listener);
}
