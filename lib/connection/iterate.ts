import type { Observable, Subscription } from 'rxjs';
import { Queue } from '../queue.ts';
import { PauseCause } from './pauses.ts';
import type { SourceControl } from './source.ts';

interface Waiter<T> {
  readonly kept: (result: IteratorResult<T>) => void;
  readonly broken: (error: unknown) => void;
}

/**
 * Loops over what comes from a connection, at the loop's pace: the input is held back while the body runs.
 *
 * Leaving the loop, by `break` or by a throw, lets go of the input, and so ends the connection unless somebody else sends on
 * it. The same when the input is over, but not before the last body has run: it may still write.
 */
export function iterate<T>(source: Observable<T>, control: SourceControl): AsyncIterator<T, undefined> {
  /** What came though the input was held: an operator in between may have kept some. */
  const early = new Queue<T>();
  const waiters: Waiter<T>[] = [];
  let subscription: Subscription | undefined;
  let letGo = () => {};
  let end: { readonly error?: unknown } | undefined;

  const ended = (how: { readonly error?: unknown }) => {
    end = how;
    if (waiters.length > 0) letGo();
    for (const { kept, broken } of waiters.splice(0)) {
      if ('error' in how) broken(how.error);
      else kept({ done: true, value: undefined });
    }
  };

  const start = () => {
    letGo = control.retain();
    subscription = source.subscribe({
      next(value) {
        const waiter = waiters.shift();
        // Who asks for several at once has them.
        if (waiters.length === 0) control.pause(PauseCause.handler);
        if (waiter) waiter.kept({ done: false, value });
        else early.push(value);
      },
      error: (error: unknown) => ended({ error }),
      complete: () => ended({}),
    });
  };

  return {
    next: () =>
      new Promise((kept, broken) => {
        if (early.size > 0) return kept({ done: false, value: early.shift() as T });
        if (end) {
          letGo();
          const { error } = end;
          const failed = 'error' in end;
          // It is said once; whoever asks again gets the end.
          end = {};
          return failed ? broken(error) : kept({ done: true, value: undefined });
        }
        waiters.push({ kept, broken });
        if (subscription === undefined) start();
        else control.resume(PauseCause.handler);
      }),
    return: async () => {
      early.clear();
      try {
        subscription?.unsubscribe();
      } finally {
        ended(end ?? {});
        letGo();
      }
      return { done: true, value: undefined };
    },
  };
}
