import { Observable, type ObservableInput, type Subscriber } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import type { Data } from '../connection/writes.ts';
import { nextTurn } from '../time/turn.ts';

/** So many values of one source that has them all at once, and others have their turn. */
const VALUES_A_TURN = 1024;

/** What can be asked for one value after the other. */
export type Pullable = AsyncIterable<Data | undefined> | Iterable<Data | undefined>;

/** Whether a source waits to be asked: a generator, an array, a readable stream; but not an Observable or a promise. */
export function isPullable(input: unknown): input is Pullable {
  if (typeof input !== 'object' || input === null || input instanceof Observable) return false;
  return Symbol.asyncIterator in input || Symbol.iterator in input;
}

/**
 * Asks a source for its values only while the connection has room for them: what an Observable cannot do, an iterator can. So
 * an endless reply to a peer that does not read costs one value.
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
 * @param connection Whose room it is.
 */
export function pull(source: Pullable, connection: Connection): Observable<Data | undefined> {
  return new Observable((subscriber) => {
    if (Symbol.asyncIterator in source) pullAsync(source[Symbol.asyncIterator](), connection, subscriber);
    else pullSync(source[Symbol.iterator](), connection, subscriber);
  });
}

/** Any input a handler may return, pulled if it can be. */
export function demanded<T extends ObservableInput<Data | undefined>>(
  input: T,
  connection: Connection,
): T | Observable<Data | undefined> {
  return isPullable(input) ? pull(input, connection) : input;
}

function pullAsync(
  values: AsyncIterator<Data | undefined>,
  connection: Connection,
  subscriber: Subscriber<Data | undefined>,
): void {
  let over = false;
  const ask = (): void => {
    if (subscriber.closed) return;
    if (connection.congested) return connection.whenRoom(ask);
    values.next().then(
      ({ done, value }) => {
        over ||= done === true;
        if (done) return subscriber.complete();
        subscriber.next(value);
        ask();
      },
      (error: unknown) => {
        over = true;
        subscriber.error(error);
      },
    );
  };
  // What its `finally` throws after nobody listens any more has nobody to hear it; a rejection must still not go astray.
  subscriber.add(() => {
    if (!over) values.return?.()?.then(undefined, () => {});
  });
  ask();
}

function pullSync(
  values: Iterator<Data | undefined>,
  connection: Connection,
  subscriber: Subscriber<Data | undefined>,
): void {
  let over = false;
  const ask = (): void => {
    for (let turn = VALUES_A_TURN; !subscriber.closed; turn--) {
      if (connection.congested) return connection.whenRoom(ask);
      if (turn === 0) return nextTurn(connection.clock, ask);
      const { done, value } = next();
      if (over) return;
      if (done) {
        over = true;
        return subscriber.complete();
      }
      subscriber.next(value);
    }
  };
  const next = (): IteratorResult<Data | undefined> => {
    try {
      return values.next();
    } catch (error) {
      over = true;
      subscriber.error(error);
      return { done: true, value: undefined };
    }
  };
  subscriber.add(() => {
    if (!over) values.return?.();
  });
  ask();
}
