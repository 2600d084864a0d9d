import { from, Observable, type ObservableInput, type OperatorFunction, Subscriber, type Subscription } from 'rxjs';
import { Hold } from '../connection/blame.ts';
import type { Connection } from '../connection/connection.ts';
import { byteLength, type Data } from '../connection/writes.ts';
import { check, flag, whole } from '../options.ts';
import { isPullable, pull } from './pull.ts';

/** The answer to one request: at once, as a string or bytes; or a promise, an Observable, a generator … of pieces. */
export type Reply = Data | undefined | ObservableInput<Data | undefined>;

export interface ExchangeOptions<T> {
  /** Requests of one connection that are worked on at once. @default 1 */
  readonly concurrency?: number;
  /** Whether replies leave in the order of their requests, however many are worked on at once. @default true */
  readonly ordered?: boolean;
  /** What to reply when a request fails. @default nothing: the connection ends, as `failed` */
  readonly onError?: (error: unknown, request: T) => Reply;
}

/**
 * A conversation of requests and replies, as a handler for `serve`: the `mergeMap` that holds its source back.
 *
 * ```text
 * requests                         --a-b-c-------|
 * project(a), (b), (c)               A---A|  B|  C|
 * exchange(…, { concurrency: 2 })  ----A--AB----C-|     c is not read before a is done
 * ```
 *
 * At most `concurrency` requests of a connection are worked on; the input pauses above that, down to the peer's TCP. Replies
 * leave in the order of the requests, unless told otherwise: with a concurrency above 1 that is pipelining. A reply that is
 * a string or bytes is sent at once; a generator is asked for pieces only while there is room.
 *
 * It completes when the requests do and all are answered. In a drain what is in progress is answered and no other begun.
 * When the peer breaks off, what is in progress is unsubscribed in the same tick. It errors with what the decoder errors
 * with, and with what a request fails with, unless `onError` makes a reply of that.
 *
 * @example
 * serve({ port: 7000 }, exchange(lines(), (line) => database.find(line), { concurrency: 8 }));
 *
 * @param decode From bytes to requests, such as `lines()`.
 * @param project From a request to its reply.
 * @param options See {@link ExchangeOptions}.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function exchange<T>(
  decode: OperatorFunction<Uint8Array, T>,
  project: (request: T, connection: Connection) => Reply,
  options: ExchangeOptions<T> = {},
): (connection: Connection) => Observable<Data> {
  check('exchange', options, {
    concurrency: whole(1),
    ordered: flag,
    onError: (value) => (typeof value === 'function' ? undefined : 'must be a function'),
  });
  return (connection) =>
    new Observable((subscriber) => {
      const exchange = new Exchange(connection, project, options, subscriber);
      subscriber.add(() => exchange.stop());
      // In place, if the decoder can: its source is the connection itself.
      connection.pipe(decode).subscribe(exchange.requests);
    });
}

/** A request that is worked on, and what of its reply waits for the replies before it. */
interface Turn {
  /** What has come of the reply and may not leave yet. */
  pieces: Data[];
  done: boolean;
  work: Subscription | undefined;
  /** What it failed with, when its turn comes. */
  failure: { readonly error: unknown } | undefined;
}

class Exchange<T> {
  readonly requests: Subscriber<T>;
  readonly #connection: Connection;
  readonly #project: (request: T, connection: Connection) => Reply;
  readonly #onError: ((error: unknown, request: T) => Reply) | undefined;
  readonly #concurrency: number;
  readonly #ordered: boolean;
  readonly #to: Subscriber<Data>;
  /** Those that are worked on, oldest first. Only the first one's pieces leave at once, if order is kept. */
  readonly #turns = new Set<Turn>();
  /** Requests that a decoder emitted though the input was held; a framing operator has none. */
  readonly #early: T[] = [];
  /** No more requests come. */
  #ended = false;
  /** What is to be said when those in progress are answered. */
  #failure: { readonly error: unknown } | undefined;
  #starting = false;

  constructor(
    connection: Connection,
    project: (request: T, connection: Connection) => Reply,
    { concurrency = 1, ordered = true, onError }: ExchangeOptions<T>,
    to: Subscriber<Data>,
  ) {
    this.#connection = connection;
    this.#project = project;
    this.#onError = onError;
    this.#concurrency = concurrency;
    this.#ordered = ordered;
    this.#to = to;
    this.requests = new Subscriber<T>({
      next: (request) => this.#request(request),
      error: (error: unknown) => {
        this.#failure = { error };
        this.#end();
      },
      complete: () => this.#end(),
    });
  }

  stop(): void {
    this.requests.unsubscribe();
    for (const turn of this.#turns) this.#drop(turn);
    this.#turns.clear();
    this.#early.length = 0;
  }

  #end(): void {
    this.#ended = true;
    // None is begun in a drain: what was read too early goes unanswered, as what was not read does.
    if (this.#connection.isDraining) this.#early.length = 0;
    this.#finish();
  }

  #request(request: T): void {
    if (this.#turns.size >= this.#concurrency || this.#early.length > 0) this.#early.push(request);
    else this.#begin(request);
  }

  #begin(request: T): void {
    let reply: Reply;
    try {
      reply = this.#project(request, this.#connection);
    } catch (error) {
      return this.#failed(error, request, undefined);
    }
    this.#reply(reply, request, undefined);
  }

  /** @param turn The place of the request in the order, if it has one: not before its reply turns out to take time. */
  #reply(reply: Reply, request: T, turn: Turn | undefined): void {
    if (reply === undefined || typeof reply === 'string' || reply instanceof Uint8Array) {
      // The common case, and the fast one: nothing to subscribe to, and nothing before it.
      if (turn === undefined && (this.#turns.size === 0 || !this.#ordered)) {
        if (reply !== undefined) this.#to.next(reply);
        return;
      }
      const own = turn ?? this.#enter();
      if (reply !== undefined) this.#piece(own, reply);
      return this.#done(own);
    }
    this.#work(reply, request, turn ?? this.#enter());
  }

  #work(reply: ObservableInput<Data | undefined>, request: T, turn: Turn): void {
    const worker = new Subscriber<Data | undefined>({
      next: (piece) => {
        if (piece !== undefined) this.#piece(turn, piece);
      },
      error: (error: unknown) => this.#failed(error, request, turn),
      complete: () => this.#done(turn),
    });
    turn.work = worker;
    try {
      const pieces = isPullable(reply) ? pull(reply, this.#connection) : from(reply);
      pieces.subscribe(worker);
    } catch (error) {
      return this.#failed(error, request, turn);
    }
    // It takes time. With the last one that may, the input is held back.
    if (this.#turns.size >= this.#concurrency) this.#connection.hold(Hold.handler);
  }

  /** Takes a place in the order. */
  #enter(): Turn {
    const turn: Turn = { pieces: [], done: false, work: undefined, failure: undefined };
    this.#turns.add(turn);
    return turn;
  }

  #first(): Turn | undefined {
    return this.#turns.values().next().value;
  }

  #piece(turn: Turn, piece: Data): void {
    if (!this.#ordered || this.#first() === turn) {
      this.#to.next(piece);
    } else {
      turn.pieces.push(piece);
      this.#connection.holdElsewhere(byteLength(piece));
    }
  }

  #done(turn: Turn): void {
    turn.done = true;
    if (this.#ordered) this.#advance();
    else this.#turns.delete(turn);
    this.#finish();
  }

  /** Lets go whose turn has come: all that are done at the front, and what the next one has so far. */
  #advance(): void {
    for (const turn of this.#turns) {
      this.#release(turn);
      if (turn.failure) return this.#to.error(turn.failure.error);
      if (!turn.done) return;
      this.#turns.delete(turn);
    }
  }

  #release(turn: Turn): void {
    const { pieces } = turn;
    turn.pieces = [];
    for (const piece of pieces) {
      this.#connection.holdElsewhere(-byteLength(piece));
      this.#to.next(piece);
    }
  }

  #failed(error: unknown, request: T, turn: Turn | undefined): void {
    let failure = error;
    if (this.#onError !== undefined) {
      try {
        return this.#reply(this.#onError(error, request), request, turn);
      } catch (worse) {
        failure = worse;
      }
    }
    // The requests before it still have their answers; those behind it are not begun.
    this.#early.length = 0;
    this.requests.unsubscribe();
    const failed = turn ?? this.#enter();
    failed.failure = { error: failure };
    if (this.#ordered) this.#advance();
    else this.#to.error(failure);
  }

  /** There is room for another request, or all is done. */
  #finish(): void {
    // A loop: a thousand that are answered at once are a thousand rounds, not frames.
    if (this.#starting) return;
    this.#starting = true;
    while (this.#turns.size < this.#concurrency && this.#early.length > 0 && !this.#to.closed) {
      this.#begin(this.#early.shift() as T);
    }
    this.#starting = false;
    if (this.#to.closed) return;
    if (this.#ended && this.#turns.size === 0 && this.#early.length === 0) this.#over();
    else if (this.#turns.size < this.#concurrency) this.#connection.release(Hold.handler);
  }

  #over(): void {
    if (this.#failure) this.#to.error(this.#failure.error);
    else this.#to.complete();
  }

  #drop(turn: Turn): void {
    for (const piece of turn.pieces) this.#connection.holdElsewhere(-byteLength(piece));
    turn.work?.unsubscribe();
  }
}
