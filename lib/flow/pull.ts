import { AsyncResource } from 'node:async_hooks';
import { Observable, type SchedulerLike, type Subscriber } from 'rxjs';
import type { Data } from '../connection/writeQueue.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { IterationQuota } from '../time/iterationQuota.ts';

/** What can be asked for one value after the other. */
export type Pullable = AsyncIterable<Data | undefined> | Iterable<Data | undefined>;

/** Where pulled values go: a connection, or the slot of one reply among those in progress. */
export interface ReplyTarget {
  /** Whether it has no room. */
  readonly congested: boolean;
  /** Whether memory is short, so that no value is asked for even where there is room. */
  readonly blocked: boolean;
  readonly clock: SchedulerLike;
  /** Calls back, once, when there may be room. */
  whenRoom(waiter: () => void): void;
  /** User code threw where no subscriber is left to receive the error. */
  crashed(error: unknown): void;
  /** Whether the source is producing its next value. Otherwise it waits for room, or is done. */
  working(is: boolean): void;
}

/** Whether a source waits to be asked: a generator, an array, a readable stream; but not an Observable or a promise. */
export function isPullable(input: unknown): input is Pullable {
  if (typeof input !== 'object' || input === null || input instanceof Observable) return false;
  return Symbol.asyncIterator in input || Symbol.iterator in input;
}

/**
 * Asks a source for its next value only while there is room for it, which an iterable allows and an Observable does not. So an
 * endless reply to a peer that does not read costs what fits below `highWaterMark`, and one value. A source that has many
 * values ready gives way to other connections after its quota of one event-loop iteration.
 *
 * ```text
 * source   a b c d e f …             asked, one by one
 * room     =========      =====
 * pull     a-b-c-d--------e-f-
 * ```
 *
 * It completes when the source does and errors when it does. Unsubscribing calls the iterator's `return`, so that a generator's
 * `finally` runs.
 *
 * @param source An iterable or async iterable.
 * @param target Whose room limits it.
 */
export function pull(source: Pullable, target: ReplyTarget): Observable<Data | undefined> {
  return new Observable((subscriber) => {
    subscriber.add(() => target.working(false));
    if (Symbol.asyncIterator in source) pullAsync(source[Symbol.asyncIterator](), target, subscriber);
    else pullSync(source[Symbol.iterator](), target, subscriber);
  });
}

/**
 * Waits for room in the async context of the first call, which is that of the source. Otherwise the source would run in the
 * context of whatever makes room.
 */
function roomWaiter(target: ReplyTarget, ask: () => void): () => void {
  let bound: (() => void) | undefined;
  return () => {
    target.working(false);
    bound ??= AsyncResource.bind(ask);
    target.whenRoom(bound);
  };
}

function pullAsync(
  values: AsyncIterator<Data | undefined>,
  target: ReplyTarget,
  subscriber: Subscriber<Data | undefined>,
): void {
  const quota = new IterationQuota(target.clock);
  let isDone = false;
  const fail = (error: unknown) => {
    isDone = true;
    subscriber.error(error);
  };
  const take = (result: IteratorResult<Data | undefined>) => {
    // Reading the result, and emitting it, may throw; here that would be an unhandled rejection.
    try {
      const { done, value } = result;
      if (done) {
        isDone = true;
        return subscriber.complete();
      }
      subscriber.next(value);
      // Promises that are resolved already would otherwise keep the event loop from all other connections.
      if (quota.spend()) nextIteration(target.clock, ask);
      else ask();
    } catch (error) {
      if (subscriber.closed) target.crashed(error);
      else fail(error);
    }
  };
  const wait = roomWaiter(target, () => ask());
  const ask = (): void => {
    if (subscriber.closed) return;
    if (target.congested || target.blocked) return wait();
    target.working(true);
    // That may have ended the connection.
    if (subscriber.closed) return;
    try {
      Promise.resolve(values.next()).then(take, fail);
    } catch (error) {
      fail(error);
    }
  };
  // No subscriber is left for what a `finally` throws after this; its rejection must not become an unhandled one.
  subscriber.add(() => {
    if (!isDone) values.return?.()?.then(undefined, () => {});
  });
  ask();
}

function pullSync(
  values: Iterator<Data | undefined>,
  target: ReplyTarget,
  subscriber: Subscriber<Data | undefined>,
): void {
  const quota = new IterationQuota(target.clock);
  let isDone = false;
  let isRunning = false;
  const wait = roomWaiter(target, () => ask());
  const ask = (): void => {
    while (!subscriber.closed) {
      if (target.congested || target.blocked) return wait();
      target.working(true);
      // That may have ended the connection.
      if (subscriber.closed) return;
      let done: boolean | undefined;
      let value: Data | undefined;
      isRunning = true;
      try {
        ({ done, value } = values.next());
      } catch (error) {
        isDone = true;
        if (subscriber.closed) return target.crashed(error);
        return subscriber.error(error);
      } finally {
        isRunning = false;
      }
      // `return()` cannot be called on a running generator. The generator caused this unsubscription itself; call `return()`
      // now that it has yielded.
      if (subscriber.closed) {
        try {
          return leave();
        } catch (error) {
          return target.crashed(error);
        }
      }
      if (done) {
        isDone = true;
        return subscriber.complete();
      }
      subscriber.next(value);
      if (quota.spend()) return nextIteration(target.clock, ask);
    }
  };
  const leave = () => {
    if (isDone || isRunning) return;
    isDone = true;
    values.return?.();
  };
  subscriber.add(leave);
  ask();
}
