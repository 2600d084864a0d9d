import { constants } from 'node:os';
import { Observable } from 'rxjs';
import { type Check, checkArgument } from '../options.ts';

/** Signals that arrive within so many milliseconds are one. */
const SAME = 250;

const signalName: Check = (value) =>
  typeof value === 'string' && Object.hasOwn(constants.signals, value) ? undefined : 'must be the name of a signal';

/** The subscribers of each signal. All share one listener of the process, because Node warns of a leak at eleven listeners. */
const subscribers = new Map<NodeJS.Signals, Set<(name: NodeJS.Signals) => void>>();

function listener(name: NodeJS.Signals): void {
  const all = subscribers.get(name) ?? [];
  // A copy: a subscriber may unsubscribe, or subscribe again, in this call.
  for (const emit of [...all]) emit(name);
}

/**
 * Signals of the process, for the option `shutdown`: emits the name of each signal as it arrives.
 *
 * ```text
 * signals()   ------SIGTERM----SIGINT--
 * ```
 *
 * One Ctrl-C may arrive twice: the terminal sends it to every process of `npm run`, and `npm` and `tsx` each forward the signal
 * that they receive. So a signal that arrives within a quarter of a second of one that was emitted is dropped, whichever of
 * the signals it is.
 *
 * The process has one listener for each signal, and only while there is a subscription. When the last one ends, the process
 * handles the signal as by default.
 *
 * @example A signal of the service manager, and the usual ones.
 * ```ts
 * const shutdown = signals('SIGINT', 'SIGTERM', 'SIGUSR2');
 *
 * serve({ port: 7000 }, (client) => client.pipe(lines(), map(encodeLine)), { shutdown }).subscribe(logTo());
 * ```
 *
 * @param names The signals. @default SIGINT and SIGTERM
 * @returns Names of signals; it never completes.
 * @throws TypeError for what is not the name of a signal of this system.
 */
export function signals(...names: NodeJS.Signals[]): Observable<NodeJS.Signals> {
  for (const name of names) checkArgument('wait for signals', 'each of them', name, signalName);
  const wanted = new Set<NodeJS.Signals>(names.length > 0 ? names : ['SIGINT', 'SIGTERM']);
  return new Observable((subscriber) => {
    let last = Number.NEGATIVE_INFINITY;
    const emit = (name: NodeJS.Signals) => {
      const now = performance.now();
      // A clock that was set back, such as that of a test, measures nothing.
      if (now >= last && now - last < SAME) return;
      last = now;
      subscriber.next(name);
    };
    for (const name of wanted) join(name, emit);
    return () => {
      for (const name of wanted) leave(name, emit);
    };
  });
}

function join(name: NodeJS.Signals, emit: (name: NodeJS.Signals) => void): void {
  const all = subscribers.get(name) ?? new Set();
  subscribers.set(name, all.add(emit));
  // The process is asked, because other code may have removed the listener.
  if (!process.listeners(name).includes(listener)) process.on(name, listener);
}

function leave(name: NodeJS.Signals, emit: (name: NodeJS.Signals) => void): void {
  const all = subscribers.get(name);
  all?.delete(emit);
  if (all?.size === 0) process.off(name, listener);
}
