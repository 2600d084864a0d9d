import {
  type Observable,
  type ObservableInput,
  type OperatorFunction,
  type SchedulerLike,
  Subscriber,
  Subscription,
} from 'rxjs';
import { derive } from '../connection/bytes.ts';
import type { Connection } from '../connection/connection.ts';
import { PauseCause } from '../connection/pauses.ts';
import { internals, type SocketConnection } from '../connection/socketConnection.ts';
import { byteLength, type Data, notData } from '../connection/writeQueue.ts';
import { DeadlineError } from '../errors.ts';
import { callable, check, checkArgument, flag, isData, patience, whole } from '../options.ts';
import { Queue } from '../queue.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { demanded, type ReplyTarget } from './pull.ts';

/** The answer to one request: at once, as a string or bytes; or a promise, an Observable, a generator … of pieces. */
export type Reply = Data | undefined | ObservableInput<Data | undefined>;

/** How to exchange. */
export interface ExchangeOptions<T> {
  /** Requests of one connection that are worked on at once. @default 1 */
  readonly concurrency?: number | undefined;
  /** Whether replies leave in the order of their requests, however many are worked on at once. @default true */
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
 * a string or bytes is sent at once; a generator is asked for pieces only while there is room. A reply that waits for those
 * before it, or for the peer, may hold `maxOutbound` bytes; a generator holds `highWaterMark` at most.
 *
 * While a request is worked on its peer is not idle. The work has a deadline instead, `timeout`: when that is over it is
 * unsubscribed, and the request fails with a {@link DeadlineError}, `reply`. `onError` may answer it; else the connection ends,
 * as `failed`.
 *
 * It completes when the requests do and all are answered. In a drain what is in progress is answered and no other begun.
 * When the peer breaks off, what is in progress is unsubscribed in the same tick; a promise cannot be, but its work can be
 * given a signal, as below. A FIN alone is no break: its requests have their answers. It errors with what the decoder errors
 * with, and with what a request fails with, unless `onError` makes a reply of that.
 *
 * @example
 * serve({ port: 7000 }, exchange(lines(), (line) => database.find(line), { concurrency: 8 }));
 *
 * @example
 * const cancellable = <T>(work: (signal: AbortSignal) => Promise<T>) =>
 *   defer(() => {
 *     const controller = new AbortController();
 *     return from(work(controller.signal)).pipe(finalize(() => controller.abort()));
 *   });
 * serve({ port: 7000 }, exchange(lines(), (url) => cancellable((signal) => read(url, { signal }))));
 *
 * @param decode From bytes to requests, such as `lines()`.
 * @param project From a request to its reply.
 * @param options See {@link ExchangeOptions}.
 * @returns A handler.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function exchange<T>(
  decode: OperatorFunction<Uint8Array, T>,
  project: (request: T, connection: Connection) => Reply,
  options: ExchangeOptions<T> = {},
): (connection: Connection) => Observable<Data> {
  checkArgument('exchange', 'decode', decode, callable);
  checkArgument('exchange', 'project', project, callable);
  const given = check('exchange', options, {
    concurrency: whole(1),
    ordered: flag,
    onError: callable,
    timeout: patience,
  });
  return (source) => {
    const connection = internals(source, 'exchange');
    return derive(connection, (subscriber) => {
      const exchange = new Exchange(connection, project, given, subscriber);
      subscriber.add(() => exchange.stop());
      // Replies that wait for room are in progress, too.
      if (!connection.halfOpen) subscriber.add(connection.retain());
      // In place, if the decoder can: its source is the connection itself.
      connection.pipe(decode).subscribe(exchange.requests);
    });
  };
}

const NEVER = Number.POSITIVE_INFINITY;

/** What to say of a reply that cannot be held back, and has as much to say as may be unsent. */
const tooMuch = (held: number, most: number) =>
  new RangeError(`Cannot hold more of a reply before its turn: it has ${held} bytes, at most ${most} allowed`);

/** A request that is worked on, and what of its reply waits: for the replies before it, or for the peer. */
class ReplySlot implements ReplyTarget {
  /** Its pieces leave as soon as there is room: order is not kept, or it is the oldest, and nothing of it waits. */
  first: boolean;
  /** Its turn has come, and what waits of it waits for the peer only. */
  due = false;
  done = false;
  /** What it failed with, when its turn comes. */
  failure: { readonly error: unknown } | undefined;
  /** `onError` has made its reply: a failure of that is final. */
  mapped = false;
  work: Subscription | undefined;
  /** Ends the work with an error. */
  fail: (error: unknown) => void = () => {};
  /** When the work is late, in milliseconds of the clock; `Infinity` while it waits for room, or is over. */
  late = NEVER;
  /** What has come of the reply and may not leave yet. */
  readonly #pieces = new Queue<Data>();
  #held = 0;
  #waiter: (() => void) | undefined;
  readonly #connection: SocketConnection;
  readonly #deadline: ReplyDeadline;
  #working = false;
  /** What is left for the work, in milliseconds. */
  #left = NEVER;

  constructor(connection: SocketConnection, deadline: ReplyDeadline, first: boolean) {
    this.#connection = connection;
    this.#deadline = deadline;
    this.first = first;
  }

  get clock(): SchedulerLike {
    return this.#connection.clock;
  }

  /** While it waits for those before it a reply that can be held back has as much room as the output has. */
  get congested(): boolean {
    if (this.first) return this.#connection.congested;
    return this.#held > this.#connection.highWaterMark || (this.#held > 0 && this.#connection.pressed);
  }

  crashed(error: unknown): void {
    this.#connection.crashed(error);
  }

  get blocked(): boolean {
    return this.#connection.blocked;
  }

  whenRoom(waiter: () => void): void {
    if (this.first || this.blocked) this.#connection.whenRoom(waiter);
    else this.#waiter = waiter;
  }

  /** Work begins, with all of its time before it. */
  begin(): void {
    this.#left = this.#deadline.timeout;
    this.working(true);
  }

  working(is: boolean): void {
    if (is === this.#working) return;
    if (is) {
      // First of all the deadline, which ends it whatever comes.
      if (this.#left !== NEVER) {
        this.late = this.clock.now() + this.#left;
        this.#deadline.set(this.late);
      }
      this.#working = true;
      this.#connection.workBegun(this);
    } else {
      if (this.#left !== NEVER) this.#left = this.late - this.clock.now();
      this.#working = false;
      this.late = NEVER;
      this.#connection.workEnded(this);
    }
  }

  hold(piece: Data): void {
    this.#pieces.push(piece);
    this.#weigh(byteLength(piece));
  }

  /** Lets go of the first piece that was held. */
  shift(): Data | undefined {
    const piece = this.#pieces.shift();
    if (piece !== undefined) this.#weigh(-byteLength(piece));
    return piece;
  }

  /** Forgets what was held. */
  drop(): void {
    this.#pieces.clear();
    this.#weigh(-this.#held);
  }

  /** Its turn has come: a source that waits to be asked goes on. */
  wake(): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.();
  }

  get held(): number {
    return this.#held;
  }

  /** Whether nothing of it waits. */
  get empty(): boolean {
    return this.#pieces.size === 0;
  }

  #weigh(bytes: number): void {
    this.#held += bytes;
    this.#connection.holdElsewhere(bytes);
  }
}

/** Watches over the work of all requests: one timer for them. */
class ReplyDeadline implements DeadlineOwner {
  /** In milliseconds. */
  readonly timeout: number;
  readonly #slots: ReadonlySet<ReplySlot>;
  readonly #clock: SchedulerLike;
  #timer: DeadlineTimer | undefined;

  constructor(timeout: number, turns: ReadonlySet<ReplySlot>, clock: SchedulerLike) {
    this.timeout = timeout;
    this.#slots = turns;
    this.#clock = clock;
  }

  /** Something is due at a moment, in milliseconds of the clock. */
  set(due: number): void {
    this.#timer ??= new DeadlineTimer(this.#clock, this);
    this.#timer.set(due);
  }

  clear(): void {
    this.#timer?.clear();
  }

  due(): number {
    let due = NEVER;
    for (const { late } of this.#slots) due = Math.min(due, late);
    return due;
  }

  expire(): void {
    const now = this.#clock.now();
    const late = [...this.#slots].filter((turn) => turn.late <= now);
    // Before anything of them is called: what is still in time stays watched.
    for (const turn of late) turn.working(false);
    this.#timer?.set();
    // The failure of one may have ended the others.
    for (const turn of late) if (this.#slots.has(turn)) turn.fail(new DeadlineError('reply', this.timeout));
  }
}

class Exchange<T> {
  readonly requests: Subscriber<T>;
  readonly #connection: SocketConnection;
  readonly #project: (request: T, connection: Connection) => Reply;
  readonly #onError: ((error: unknown, request: T) => Reply) | undefined;
  readonly #concurrency: number;
  readonly #ordered: boolean;
  readonly #to: Subscriber<Data>;
  /** Those that are worked on, oldest first. */
  readonly #slots = new Set<ReplySlot>();
  readonly #deadline: ReplyDeadline;
  /** Requests that a decoder emitted though the input was held; a framing operator has none. */
  readonly #early = new Queue<T>();
  /** No more requests come. */
  #ended = false;
  /** What is to be said when those in progress are answered. */
  #failure: { readonly error: unknown } | undefined;
  #starting = false;
  /** It is to be told when there is room. */
  #waiting = false;

  constructor(
    connection: SocketConnection,
    project: (request: T, connection: Connection) => Reply,
    { concurrency = 1, ordered = true, onError, timeout = connection.replyTimeout }: ExchangeOptions<T>,
    to: Subscriber<Data>,
  ) {
    this.#connection = connection;
    this.#project = project;
    this.#onError = onError;
    this.#concurrency = concurrency;
    this.#ordered = ordered;
    this.#to = to;
    this.#deadline = new ReplyDeadline(timeout, this.#slots, connection.clock);
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
    this.#early.clear();
    // All together: the teardown of one may throw, and the others stop nevertheless.
    const works = new Subscription();
    works.add(this.requests);
    const turns = [...this.#slots];
    for (const turn of turns) {
      turn.drop();
      works.add(turn.work);
    }
    this.#slots.clear();
    this.#deadline.clear();
    try {
      works.unsubscribe();
    } finally {
      for (const turn of turns) turn.working(false);
    }
  }

  #end(): void {
    this.#ended = true;
    this.#finish();
  }

  get #full(): boolean {
    return this.#slots.size >= this.#concurrency;
  }

  #request(request: T): void {
    // In a drain the last one comes, which had begun.
    const { blocked, isDraining } = this.#connection;
    if (this.#full || this.#early.size > 0 || (blocked && !isDraining)) {
      this.#early.push(request);
      this.#finish();
    } else {
      this.#begin(request);
    }
    if (this.#full && !this.requests.closed) this.#connection.pause(PauseCause.handler);
  }

  #begin(request: T): void {
    let reply: Reply;
    try {
      reply = this.#project(request, this.#connection);
    } catch (error) {
      return this.#failed(error, request, this.#enter());
    }
    this.#reply(reply, request, undefined);
  }

  /** @param turn The place of the request in the order, if it has one: not before its reply turns out to take time. */
  #reply(reply: Reply, request: T, turn: ReplySlot | undefined): void {
    if (reply !== undefined && !isData(reply)) {
      this.#work(reply, request, turn ?? this.#enter());
    } else if (turn === undefined && (this.#slots.size === 0 || !this.#ordered)) {
      // The common case, and the fast one: nothing to subscribe to, and nothing before it.
      if (reply !== undefined) this.#to.next(reply);
    } else {
      const own = turn ?? this.#enter();
      if (reply !== undefined) this.#piece(own, reply);
      this.#done(own);
    }
  }

  #work(reply: ObservableInput<Data | undefined>, request: T, turn: ReplySlot): void {
    const error = (wrong: unknown) => {
      if (this.#leave(worker, turn)) this.#failed(wrong, request, turn);
    };
    const worker = new Subscriber<Data | undefined>({
      next: (piece) => {
        if (piece === undefined) return;
        if (!isData(piece)) return error(notData(piece));
        const { maxOutbound } = this.#connection;
        if (turn.held < maxOutbound) return this.#piece(turn, piece);
        if (!turn.due) return error(tooMuch(turn.held, maxOutbound));
        // The peer is too slow for it, not those before it: what becomes of that is the connection's to say.
        this.#spill(turn);
        this.#to.next(piece);
      },
      error,
      complete: () => {
        if (this.#leave(worker, turn)) this.#done(turn);
      },
    });
    turn.work = worker;
    turn.fail = error;
    turn.begin();
    // `project` itself may have ended the connection. Subscribed to it is nevertheless, for a moment: a rejection must not go astray.
    if (this.#to.closed) this.stop();
    try {
      demanded(reply, turn).subscribe(worker);
    } catch (error) {
      this.#failed(error, request, turn);
    }
  }

  /** Takes a place in the order. */
  #enter(): ReplySlot {
    const turn = new ReplySlot(this.#connection, this.#deadline, !this.#ordered || this.#slots.size === 0);
    this.#slots.add(turn);
    return turn;
  }

  #piece(turn: ReplySlot, piece: Data): void {
    if (turn.first && !this.#connection.congested) return this.#to.next(piece);
    turn.hold(piece);
    if (!turn.first) return;
    turn.first = false;
    this.#await(turn);
  }

  #done(turn: ReplySlot): void {
    turn.done = true;
    if (this.#ordered || !turn.empty) this.#advance();
    else this.#slots.delete(turn);
    this.#finish();
  }

  /** Lets go whose turn has come, while there is room: all that are done at the front, and what the next one has so far. */
  #advance(): void {
    for (const turn of this.#slots) {
      // One by one: what a piece brings about may be another one of this turn, or its end, and that stands behind the others.
      while (!turn.empty) {
        if (this.#connection.congested) return this.#await(turn);
        this.#to.next(turn.shift() as Data);
      }
      turn.first = true;
      turn.due = false;
      turn.wake();
      if (turn.failure) return this.#to.error(turn.failure.error);
      if (turn.done) this.#slots.delete(turn);
      else if (this.#ordered) return;
    }
  }

  /** Goes on with this turn, and those behind it, when the peer has made room. */
  #await(turn: ReplySlot): void {
    turn.due = true;
    this.#awaitRoom();
  }

  #awaitRoom(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#connection.whenRoom(() => {
      this.#waiting = false;
      if (this.#to.closed) return;
      this.#advance();
      this.#finish();
    });
  }

  /** Lets go of all that waits of a turn that has come, whether there is room or not. */
  #spill(turn: ReplySlot): void {
    for (let piece = turn.shift(); piece !== undefined; piece = turn.shift()) this.#to.next(piece);
    turn.first = true;
    turn.due = false;
  }

  #failed(error: unknown, request: T, turn: ReplySlot): void {
    turn.working(false);
    let failure = error;
    if (this.#onError !== undefined && !turn.mapped && !turn.done) {
      turn.mapped = true;
      try {
        return this.#reply(this.#onError(error, request), request, turn);
      } catch (worse) {
        failure = worse;
      }
    }
    this.#fail(failure, turn);
  }

  /** The requests before it still have their answers; those behind it are not begun. */
  #fail(error: unknown, turn: ReplySlot): void {
    this.#early.clear();
    turn.failure ??= { error };
    this.#leave(this.requests, turn);
    // One that had its answer already, and left, stands in no order any more.
    if (this.#ordered && this.#slots.has(turn)) return this.#advance();
    if (!this.#ordered) for (const other of this.#slots) this.#spill(other);
    this.#to.error(turn.failure.error);
  }

  /** Lets go of a source. What a teardown throws is the fault of its turn, and must not reach the timer or promise that ended it. */
  #leave(work: Subscription, turn: ReplySlot): boolean {
    turn.working(false);
    try {
      work.unsubscribe();
      return true;
    } catch (error) {
      this.#fail(error, turn);
      return false;
    }
  }

  /** There is room for another request, or all is done. */
  #finish(): void {
    // A loop: a thousand that are answered at once are a thousand rounds, not frames.
    if (this.#starting) return;
    // None is begun in a drain: what was read too early goes unanswered, as what was not read does.
    if (this.#connection.isDraining) this.#early.clear();
    this.#starting = true;
    try {
      while (!this.#full && this.#early.size > 0 && !this.#to.closed) {
        if (this.#connection.blocked) {
          this.#awaitRoom();
          break;
        }
        this.#begin(this.#early.shift() as T);
      }
    } finally {
      this.#starting = false;
    }
    if (this.#to.closed) return;
    if (this.#ended && this.#slots.size === 0 && this.#early.size === 0) this.#over();
    else if (!this.#full) this.#connection.resume(PauseCause.handler);
  }

  #over(): void {
    if (this.#failure) this.#to.error(this.#failure.error);
    else this.#to.complete();
  }
}
