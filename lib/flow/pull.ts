import { AsyncResource } from 'node:async_hooks';
import { types } from 'node:util';
import { from, Observable, type ObservableInput, of, type SchedulerLike, type Subscriber } from 'rxjs';
import { type Data, notData } from '../connection/writeQueue.ts';
import { isData } from '../options.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { TurnQuota } from '../time/turnQuota.ts';
import { checkCanAwait } from '../time/virtual.ts';

/** What can be asked for one value after the other. */
export type Pullable = AsyncIterable<Data | undefined> | Iterable<Data | undefined>;

/** Where values go: a connection, or the place of one reply in the order of them. */
export interface ReplyTarget {
  /** Whether there is none. */
  readonly congested: boolean;
  /** Whether memory is short, so that nothing is asked for even where there is room. */
  readonly blocked: boolean;
  readonly clock: SchedulerLike;
  /** Calls back, once, when there may be some. */
  whenRoom(waiter: () => void): void;
  /** User code threw where no subscriber is left to receive the error. */
  crashed(error: unknown): void;
  /** Whether the source is at work on its next value. Else it waits for room, or is over. */
  working(is: boolean): void;
}

/** Whether a source waits to be asked: a generator, an array, a readable stream; but not an Observable or a promise. */
export function isPullable(input: unknown): input is Pullable {
  if (typeof input !== 'object' || input === null || input instanceof Observable) return false;
  return Symbol.asyncIterator in input || Symbol.iterator in input;
}

/**
 * Asks a source for its values only while there is room for them: what an Observable cannot do, an iterator can. So an
 * endless reply to a peer that does not read costs what fits below `highWaterMark`, and one value. A source that has many values at
 * once gives way to the other connections after its share of a turn.
 *
 * ```text
 * source   a b c d e f …             asked, one by one
 * room     =========      =====
 * pull     a-b-c-d--------e-f-
 * ```
 *
 * It ends when the source does and errors when it does. Unsubscribing calls the iterator's `return`, so that a generator's
 * `finally` runs.
 *
 * @param source An iterable or async iterable.
 * @param room Whose pace it keeps.
 */
export function pull(source: Pullable, room: ReplyTarget): Observable<Data | undefined> {
  return new Observable((subscriber) => {
    subscriber.add(() => room.working(false));
    if (Symbol.asyncIterator in source) pullAsync(source[Symbol.asyncIterator](), room, subscriber);
    else pullSync(source[Symbol.iterator](), room, subscriber);
  });
}

/**
 * Any input a handler may return, pulled if it can be. A string is one value, as bytes are: RxJS would make of it as many as
 * it has UTF-16 units, and cut a character in two.
 *
 * @throws TypeError for what is none, and for other views of memory, which would be pulled number by number.
 * @throws Error for a promise or an async iterable in the run of a `TestScheduler`, where it could never be resolved.
 */
export function demanded(
  input: Data | ObservableInput<Data | undefined>,
  room: ReplyTarget,
): Observable<Data | undefined> {
  if (isData(input)) return of(input);
  if (ArrayBuffer.isView(input) || types.isAnyArrayBuffer(input)) throw notData(input);
  if (!(input instanceof Observable) && isAwaited(input)) checkCanAwait(room.clock);
  return isPullable(input) ? pull(input, room) : from(input);
}

/** Whether a value can come of it only by a promise. */
const isAwaited = (input: unknown): boolean =>
  typeof input === 'object' &&
  input !== null &&
  ('then' in input ? typeof input.then === 'function' : Symbol.asyncIterator in input);

/** Waits for room in the async context of the first call, that of the source: room is made by whatever else is at work. */
function waiting(room: ReplyTarget, ask: () => void): () => void {
  let bound: (() => void) | undefined;
  return () => {
    room.working(false);
    bound ??= AsyncResource.bind(ask);
    room.whenRoom(bound);
  };
}

function pullAsync(
  values: AsyncIterator<Data | undefined>,
  room: ReplyTarget,
  subscriber: Subscriber<Data | undefined>,
): void {
  const share = new TurnQuota(room.clock);
  let over = false;
  const failed = (error: unknown) => {
    over = true;
    subscriber.error(error);
  };
  const came = (result: IteratorResult<Data | undefined>) => {
    // Looking at what came, and handing it on, may throw: here that would be an unhandled rejection.
    try {
      const { done, value } = result;
      if (done) {
        over = true;
        return subscriber.complete();
      }
      subscriber.next(value);
      // Promises that are resolved already would keep the event loop from all other connections.
      if (share.spend()) nextIteration(room.clock, ask);
      else ask();
    } catch (error) {
      if (subscriber.closed) room.crashed(error);
      else failed(error);
    }
  };
  const wait = waiting(room, () => ask());
  const ask = (): void => {
    if (subscriber.closed) return;
    if (room.congested || room.blocked) return wait();
    room.working(true);
    // That may have ended the connection.
    if (subscriber.closed) return;
    try {
      Promise.resolve(values.next()).then(came, failed);
    } catch (error) {
      failed(error);
    }
  };
  // What its `finally` throws after nobody listens any more has nobody to hear it; a rejection must still not go astray.
  subscriber.add(() => {
    if (!over) values.return?.()?.then(undefined, () => {});
  });
  ask();
}

function pullSync(
  values: Iterator<Data | undefined>,
  room: ReplyTarget,
  subscriber: Subscriber<Data | undefined>,
): void {
  const share = new TurnQuota(room.clock);
  let over = false;
  let asking = false;
  const wait = waiting(room, () => ask());
  const ask = (): void => {
    while (!subscriber.closed) {
      if (room.congested || room.blocked) return wait();
      room.working(true);
      // That may have ended the connection.
      if (subscriber.closed) return;
      let done: boolean | undefined;
      let value: Data | undefined;
      asking = true;
      try {
        ({ done, value } = values.next());
      } catch (error) {
        over = true;
        if (subscriber.closed) return room.crashed(error);
        return subscriber.error(error);
      } finally {
        asking = false;
      }
      // A generator that is running cannot be told to return: it was unsubscribed by its own doing, and hears of it now.
      if (subscriber.closed) {
        try {
          return leave();
        } catch (error) {
          return room.crashed(error);
        }
      }
      if (done) {
        over = true;
        return subscriber.complete();
      }
      subscriber.next(value);
      if (share.spend()) return nextIteration(room.clock, ask);
    }
  };
  const leave = () => {
    if (over || asking) return;
    over = true;
    values.return?.();
  };
  subscriber.add(leave);
  ask();
}
