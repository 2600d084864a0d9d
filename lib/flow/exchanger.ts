import { type ObservableInput, Subscriber, type Subscription } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { PauseCause } from '../connection/pauses.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import { type Data, notData } from '../connection/writeQueue.ts';
import { isData } from '../options.ts';
import { Queue } from '../queue.ts';
import { onDemand, type Reply } from './reply.ts';
import { ReplyOrder } from './replyOrder.ts';
import type { ReplySlot } from './replySlot.ts';

/** How requests are answered. */
export interface ExchangeSettings<T> {
  readonly project: (request: T, connection: Connection) => Reply;
  readonly onError: ((error: unknown, request: T) => Reply) | undefined;
  /** Requests in progress at once. */
  readonly concurrency: number;
  readonly ordered: boolean;
  /** Milliseconds for the work on one request. @default the connection's own limit */
  readonly timeout: number | undefined;
}

/** The error of a reply whose source cannot be paused, and that has queued all that it may. */
const queueFull = (queued: number, most: number) =>
  new RangeError(`Cannot queue more of a reply behind another: it has ${queued} bytes, at most ${most} allowed`);

/**
 * The requests of one connection: begins them, at most `concurrency` at once, and pauses the input above that.
 *
 * A request takes a {@link ReplySlot} only when its reply takes time, or must wait. Then its work is subscribed to, and the
 * {@link ReplyOrder} decides when each piece leaves.
 */
export class Exchanger<T> {
  /** Takes the requests. */
  readonly requests: Subscriber<T>;
  readonly #connection: SocketConnection;
  readonly #project: (request: T, connection: Connection) => Reply;
  readonly #onError: ((error: unknown, request: T) => Reply) | undefined;
  readonly #concurrency: number;
  readonly #to: Subscriber<Data>;
  readonly #replies: ReplyOrder;
  readonly #inProgress: ReadonlySet<ReplySlot>;
  /** Requests that a decoder emitted while the input was paused; a framing operator emits none then. */
  readonly #queuedRequests = new Queue<T>();
  /** The requests have completed, or failed. */
  #requestsEnded = false;
  /** What the requests failed with. It is emitted when those in progress are answered. */
  #requestsFailure: { readonly error: unknown } | undefined;
  #isBeginning = false;

  constructor(
    connection: SocketConnection,
    { project, onError, concurrency, ordered, timeout = connection.watchdog.deadlines.reply }: ExchangeSettings<T>,
    to: Subscriber<Data>,
  ) {
    this.#connection = connection;
    this.#project = project;
    this.#onError = onError;
    this.#concurrency = concurrency;
    this.#to = to;
    this.#replies = new ReplyOrder(connection, ordered, timeout, to, () => this.#proceed());
    this.#inProgress = this.#replies.slots;
    this.requests = new Subscriber<T>({
      next: (request) => this.#request(request),
      error: (error: unknown) => {
        this.#requestsFailure = { error };
        this.#endRequests();
      },
      complete: () => this.#endRequests(),
    });
  }

  /** Unsubscribes all that is in progress. */
  stop(): void {
    this.#queuedRequests.clear();
    this.#replies.stop(this.requests);
  }

  #endRequests(): void {
    this.#requestsEnded = true;
    this.#proceed();
  }

  get #isFull(): boolean {
    return this.#inProgress.size >= this.#concurrency;
  }

  #request(request: T): void {
    const { blocked, isDraining } = this.#connection;
    // In a drain one more request may come, whose frame had begun. It is answered even while memory is short.
    if (this.#isFull || this.#queuedRequests.size > 0 || (blocked && !isDraining)) {
      this.#queuedRequests.push(request);
      this.#proceed();
    } else {
      this.#begin(request);
    }
    if (this.#isFull && !this.requests.closed) this.#connection.control.pause(PauseCause.handler);
  }

  #begin(request: T): void {
    let reply: Reply;
    try {
      reply = this.#connection.hasContext ? this.#projectInContext(request) : this.#project(request, this.#connection);
    } catch (error) {
      return this.#failed(error, request, this.#replies.enter());
    }
    this.#reply(reply, request, undefined);
  }

  // A request that has waited begins in a callback of another one, and a reply may fail in one of another connection. Either may have
  // a context of its own.

  /** Apart from the function that begins each request: its closure would cost each of them an object. */
  #projectInContext(request: T): Reply {
    return this.#connection.inContext(() => this.#project(request, this.#connection));
  }

  #inContext(work: () => Reply): Reply {
    return this.#connection.hasContext ? this.#connection.inContext(work) : work();
  }

  /** @param slot The place of the request, if it has taken one. */
  #reply(reply: Reply, request: T, slot: ReplySlot | undefined): void {
    if (reply !== undefined && !isData(reply)) {
      this.#work(reply, request, slot ?? this.#replies.enter());
    } else if (slot === undefined && (this.#inProgress.size === 0 || !this.#replies.ordered)) {
      // The common case needs no slot: there is nothing to subscribe to, and nothing before it.
      if (reply !== undefined) this.#to.next(reply);
    } else {
      const own = slot ?? this.#replies.enter();
      if (reply !== undefined) this.#replies.add(own, reply);
      this.#replies.complete(own);
      this.#proceed();
    }
  }

  #work(reply: ObservableInput<Data | undefined>, request: T, slot: ReplySlot): void {
    const error = (wrong: unknown) => {
      if (this.#unsubscribe(worker, slot)) this.#failed(wrong, request, slot);
    };
    const worker = new Subscriber<Data | undefined>({
      next: (piece) => {
        if (piece === undefined) return;
        if (!isData(piece)) return error(notData(piece));
        const { maxOutbound } = this.#connection.output.limits;
        if (slot.queuedBytes < maxOutbound) return this.#replies.add(slot, piece);
        if (!slot.waitsForPeer) return error(queueFull(slot.queuedBytes, maxOutbound));
        // The peer is too slow for this reply, not the replies before it: the connection applies its `overrun`.
        this.#replies.flush(slot);
        this.#to.next(piece);
      },
      error,
      complete: () => {
        if (!this.#unsubscribe(worker, slot)) return;
        this.#replies.complete(slot);
        this.#proceed();
      },
    });
    slot.work = worker;
    slot.fail = error;
    slot.begin();
    // `project` itself may have ended the connection. The reply is subscribed to all the same, for a moment: otherwise the
    // rejection of a promise would be unhandled.
    if (this.#to.closed) this.stop();
    try {
      onDemand(reply, slot).subscribe(worker);
    } catch (error) {
      this.#failed(error, request, slot);
    }
  }

  #failed(error: unknown, request: T, slot: ReplySlot): void {
    slot.working(false);
    let failure = error;
    if (this.#onError !== undefined && !slot.isErrorReply && !slot.isDone) {
      slot.isErrorReply = true;
      try {
        const onError = this.#onError;
        return this.#reply(
          this.#inContext(() => onError(error, request)),
          request,
          slot,
        );
      } catch (worse) {
        failure = worse;
      }
    }
    this.#fail(failure, slot);
  }

  /** Ends the exchange with the first failure. The requests before it are still answered; those behind it do not begin. */
  #fail(error: unknown, slot: ReplySlot): void {
    this.#queuedRequests.clear();
    slot.failure ??= { error };
    this.#unsubscribe(this.requests, slot);
    this.#replies.fail(slot, slot.failure.error);
  }

  /**
   * Unsubscribes a source. What a teardown throws is a failure of this request; it must not reach the timer or the promise that
   * led here.
   *
   * @returns Whether nothing was thrown.
   */
  #unsubscribe(source: Subscription, slot: ReplySlot): boolean {
    slot.working(false);
    try {
      source.unsubscribe();
      return true;
    } catch (error) {
      this.#fail(error, slot);
      return false;
    }
  }

  /** Begins the requests that are queued, as far as there is room; completes when all are answered. */
  #proceed(): void {
    // A loop, because a thousand requests that are answered at once must not nest a thousand calls.
    if (this.#isBeginning) return;
    // None begins in a drain: a request that was read too early goes unanswered, as one that was not read does.
    if (this.#connection.isDraining) this.#queuedRequests.clear();
    this.#isBeginning = true;
    try {
      while (!this.#isFull && this.#queuedRequests.size > 0 && !this.#to.closed) {
        if (this.#connection.blocked) {
          this.#replies.waitForRoom();
          break;
        }
        this.#begin(this.#queuedRequests.shift() as T);
      }
    } finally {
      this.#isBeginning = false;
    }
    if (this.#to.closed) return;
    if (this.#requestsEnded && this.#inProgress.size === 0 && this.#queuedRequests.size === 0) this.#end();
    else if (!this.#isFull) this.#connection.control.resume(PauseCause.handler);
  }

  #end(): void {
    if (this.#requestsFailure) this.#to.error(this.#requestsFailure.error);
    else this.#to.complete();
  }
}
