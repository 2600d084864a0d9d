import type { Observable, Subscription } from 'rxjs';
import { Queue } from '../queue.ts';
import { PauseCause } from './pauses.ts';
import type { SourceControl } from './source.ts';

/** A call of `next` that has no result yet. */
interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Iterates over the values of a connection at the loop's pace: the input is paused while the body runs.
 *
 * Leaving the loop, by `break` or by a throw, unsubscribes from the input, and so ends the connection unless a `send()` is
 * active. The end of the input does the same, but only after the last body has run, because it may still write.
 */
export function iterate<T>(source: Observable<T>, control: SourceControl): AsyncIterator<T, undefined> {
  /** Values that arrived while the input was paused, because an operator in between emitted them late. */
  const early = new Queue<T>();
  const waiters: Waiter<T>[] = [];
  let subscription: Subscription | undefined;
  let release = () => {};
  let end: { readonly error?: unknown } | undefined;

  const ended = (how: { readonly error?: unknown }) => {
    end = how;
    if (waiters.length > 0) release();
    for (const { resolve, reject } of waiters.splice(0)) {
      if ('error' in how) reject(how.error);
      else resolve({ done: true, value: undefined });
    }
  };

  const start = () => {
    release = control.retain();
    subscription = source.subscribe({
      next(value) {
        const waiter = waiters.shift();
        // Several calls of `next` at once receive a value each; then the input is paused.
        if (waiters.length === 0) control.pause(PauseCause.handler);
        if (waiter) waiter.resolve({ done: false, value });
        else early.push(value);
      },
      error: (error: unknown) => ended({ error }),
      complete: () => ended({}),
    });
  };

  return {
    next: () =>
      new Promise((resolve, reject) => {
        if (early.size > 0) return resolve({ done: false, value: early.shift() as T });
        if (end) {
          release();
          const { error } = end;
          const failed = 'error' in end;
          // The error rejects one call. Each later call returns the end.
          end = {};
          return failed ? reject(error) : resolve({ done: true, value: undefined });
        }
        waiters.push({ resolve, reject });
        if (subscription === undefined) start();
        else control.resume(PauseCause.handler);
      }),
    return: async () => {
      early.clear();
      try {
        subscription?.unsubscribe();
      } finally {
        ended(end ?? {});
        release();
      }
      return { done: true, value: undefined };
    },
  };
}
