import type { Observable, OperatorFunction } from 'rxjs';
import { derive } from '../connection/bytes.ts';
import type { Connection } from '../connection/connection.ts';
import { internals } from '../connection/internals.ts';
import type { Data } from '../connection/writeQueue.ts';
import { callable, check, checkArgument, flag, timeLimit, whole } from '../options.ts';
import { Exchanger } from './exchanger.ts';
import type { Reply } from './reply.ts';

export type { Reply } from './reply.ts';

/** How to exchange. */
export interface ExchangeOptions<T> {
  /** Requests of one connection that are in progress at once. @default 1 */
  readonly concurrency?: number | undefined;
  /** Whether replies leave in the order of their requests, however many are in progress at once. @default true */
  readonly ordered?: boolean | undefined;
  /** What to reply when a request fails. @default nothing: the connection ends, as `failed` */
  readonly onError?: ((error: unknown, request: T) => Reply) | undefined;
  /**
   * Milliseconds that the work on one request may take, until its reply is complete. Time in which a generator waits for the
   * peer, or for the replies before its own, does not count. `Infinity` for no limit.
   * @default the connection's own limit: `reply` of `serve`, none elsewhere
   */
  readonly timeout?: number | undefined;
}

/**
 * Answers the requests of a connection, as a handler for `serve`: a `mergeMap` with backpressure.
 *
 * ```text
 * requests                         --a-b-c-------|
 * project(a), (b), (c)               A---A|  B|  C|
 * exchange(…, { concurrency: 2 })  ----A--AB----C-|     c is not read before a is done
 * ```
 *
 * At most `concurrency` requests of a connection are in progress; above that the input pauses, down to the peer's TCP. Replies
 * leave in the order of their requests unless `ordered` is `false`; with a concurrency above 1 that is pipelining. A reply that
 * is a string or bytes is sent at once. A generator is asked for its next piece only while there is room. A reply that waits for
 * the replies before it, or for the peer, may queue `maxOutbound` bytes; a generator queues `highWaterMark` at most.
 *
 * While a request is in progress, its peer is not idle. The work has a deadline instead: after `timeout` it is unsubscribed, and
 * the request fails with a {@link DeadlineError}, `reply`. `onError` may answer it; otherwise the connection ends as `failed`.
 *
 * It completes when the requests have completed and all are answered. In a drain the requests in progress are answered, and no
 * other begins. When the peer resets the connection, what is in progress is unsubscribed in the same tick. A promise cannot be
 * unsubscribed, but its work can be given a signal, as below. A FIN does not abort anything: the requests before it are
 * answered. It errors with the error of the decoder, and with that of a request unless `onError` makes a reply of it.
 *
 * @example Eight requests of each client at once; their replies are in order.
 * ```ts
 * const answer = async (name: string) => `${await database.find(name)}\n`;
 *
 * serve({ port: 7000 }, exchange(lines(), answer, { concurrency: 8 })).subscribe();
 * ```
 *
 * @example Work that ends with its connection.
 * ```ts
 * const cancellable = <T>(work: (signal: AbortSignal) => Promise<T>) =>
 *   defer(() => {
 *     const controller = new AbortController();
 *     return from(work(controller.signal)).pipe(finalize(() => controller.abort()));
 *   });
 * const answer = (name: string) => cancellable(async (signal) => `${await database.find(name, { signal })}\n`);
 *
 * serve({ port: 7000 }, exchange(lines(), answer)).subscribe();
 * ```
 *
 * @param decode From bytes to requests, such as `lines()`.
 * @param project From a request to its reply.
 * @param options See {@link ExchangeOptions}.
 * @returns A handler.
 * @throws TypeError or RangeError for options that do not exist or are not allowed.
 */
export function exchange<T>(
  decode: OperatorFunction<Uint8Array, T>,
  project: (request: T, connection: Connection) => Reply,
  options: ExchangeOptions<T> = {},
): (connection: Connection) => Observable<Data> {
  checkArgument('exchange', 'decode', decode, callable);
  checkArgument('exchange', 'project', project, callable);
  const {
    concurrency = 1,
    ordered = true,
    onError,
    timeout,
  } = check('exchange', options, { concurrency: whole(1), ordered: flag, onError: callable, timeout: timeLimit });
  const settings = { project, onError, concurrency, ordered, timeout };
  return (source) => {
    const connection = internals(source, 'exchange');
    return derive(connection, (subscriber) => {
      const exchanger = new Exchanger(connection, settings, subscriber);
      subscriber.add(() => exchanger.stop());
      // Replies that wait for room are in progress, too.
      if (!connection.halfOpen) subscriber.add(connection.retain());
      // The decoder frames in place if it can, because its source is the connection itself.
      connection.pipe(decode).subscribe(exchanger.requests);
    });
  };
}
