import { types } from 'node:util';
import { from, Observable, type ObservableInput, of } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { type Data, notData } from '../connection/writeQueue.ts';
import { isData } from '../options.ts';
import { checkCanAwait } from '../time/virtual.ts';
import { isPullable, pull, type ReplyTarget } from './pull.ts';

/**
 * A function from a connection, an Observable of bytes, to its replies. Any operator from bytes to replies is a handler.
 *
 * When the replies complete, queued output is flushed and the connection ends. When they error, that connection ends, and no
 * other. An async generator is asked for replies only while there is room for them. An async function may write by itself; the
 * value that it returns is sent. A string or bytes are one reply.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: what an async function is that returns nothing.
export type Handler = (connection: Connection) => Data | ObservableInput<Data | undefined> | Promise<Data | void>;

/** The answer to one request: at once, as a string or bytes; or a promise, an Observable, a generator … of pieces. */
export type Reply = Data | undefined | ObservableInput<Data | undefined>;

/**
 * What a handler or a request may return, as an Observable; an iterable is asked for values only while there is room.
 *
 * A string is one value, as bytes are: RxJS would emit its UTF-16 units one by one, and split a character in two.
 *
 * @throws TypeError for what is not an ObservableInput, and for other views of memory, which would be pulled number by number.
 * @throws Error for a promise or an async iterable within the run of a `TestScheduler`, where it is never resolved.
 */
export function onDemand(
  input: Data | ObservableInput<Data | undefined>,
  target: ReplyTarget,
): Observable<Data | undefined> {
  if (isData(input)) return of(input);
  if (ArrayBuffer.isView(input) || types.isAnyArrayBuffer(input)) throw notData(input);
  if (!(input instanceof Observable) && needsPromise(input)) checkCanAwait(target.clock);
  return isPullable(input) ? pull(input, target) : from(input);
}

/** Whether a value can come of it only by a promise. */
const needsPromise = (input: unknown): boolean =>
  typeof input === 'object' &&
  input !== null &&
  ('then' in input ? typeof input.then === 'function' : Symbol.asyncIterator in input);
