import { fromEvent, map, merge, type Observable, throttleTime } from 'rxjs';

/** How long one signal is taken for the same, in milliseconds. */
const SAME = 250;

/**
 * Emits when the process is asked to end, by SIGINT or SIGTERM, and keeps it from ending by itself while subscribed.
 *
 * One Ctrl-C may come twice: the terminal sends it to every process of `npm run`, and `npm` and `tsx` each pass on what
 * they got. Signals within a quarter of a second are therefore one, or a demo would take its first for its second.
 */
export function interrupts(): Observable<void> {
  return merge(fromEvent(process, 'SIGINT'), fromEvent(process, 'SIGTERM')).pipe(
    throttleTime(SAME),
    map(() => undefined),
  );
}
