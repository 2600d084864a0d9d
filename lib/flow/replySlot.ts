import type { SchedulerLike, Subscription } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import { byteLength, type Data } from '../connection/writeQueue.ts';
import { Queue } from '../queue.ts';
import type { ReplyTarget } from './pull.ts';
import type { ReplyDeadline, TimedWork } from './replyDeadline.ts';

const NEVER = Number.POSITIVE_INFINITY;

/**
 * One request in progress: its place in the order of the replies, its work with the time that is left for it, and the pieces
 * of its reply that may not leave yet.
 *
 * ```text
 *                    isDirect   waitsForPeer   a piece of the reply
 * behind another     false      false          is queued
 * next to leave      true       false          leaves at once, if there is room
 * without room       false      true           is queued; what is queued leaves when the peer has made room
 * ```
 *
 * Without an order, each slot begins as the next to leave.
 */
export class ReplySlot implements ReplyTarget, TimedWork {
  isDirect: boolean;
  waitsForPeer = false;
  /** The reply is complete, apart from what is queued. */
  isDone = false;
  /** What the request failed with. It is emitted after the replies before it. */
  failure: { readonly error: unknown } | undefined;
  /** The reply is the one of `onError`, which is not asked a second time. */
  isErrorReply = false;
  /** The subscription to the source of the reply. */
  work: Subscription | undefined;
  /** Ends the work with an error. */
  fail: (error: unknown) => void = () => {};
  expiresAt = NEVER;
  readonly #queue = new Queue<Data>();
  #queuedBytes = 0;
  #waiter: (() => void) | undefined;
  readonly #connection: SocketConnection;
  readonly #deadline: ReplyDeadline;
  #isWorking = false;
  /** Milliseconds that are left for the work. */
  #timeLeft = NEVER;

  constructor(connection: SocketConnection, deadline: ReplyDeadline, isDirect: boolean) {
    this.#connection = connection;
    this.#deadline = deadline;
    this.isDirect = isDirect;
  }

  get clock(): SchedulerLike {
    return this.#connection.clock;
  }

  /** A source that can be paused may queue as much here as the output may hold: `highWaterMark`. */
  get congested(): boolean {
    const { output } = this.#connection;
    if (this.isDirect) return output.congested;
    return this.#queuedBytes > output.limits.highWaterMark || (this.#queuedBytes > 0 && output.memoryIsShort);
  }

  get blocked(): boolean {
    return this.#connection.blocked;
  }

  whenRoom(waiter: () => void): void {
    if (this.isDirect || this.blocked) this.#connection.whenRoom(waiter);
    else this.#waiter = waiter;
  }

  crashed(error: unknown): void {
    this.#connection.crashed(error);
  }

  /** The work begins, with all of its time left. */
  begin(): void {
    this.#timeLeft = this.#deadline.timeout;
    this.working(true);
  }

  working(is: boolean): void {
    if (is === this.#isWorking) return;
    if (is) {
      // Set the deadline first, because it must end the work whatever happens below.
      if (this.#timeLeft !== NEVER) {
        this.expiresAt = this.clock.now() + this.#timeLeft;
        this.#deadline.set(this.expiresAt);
      }
      this.#isWorking = true;
      this.#connection.usage.workBegun(this);
    } else {
      if (this.#timeLeft !== NEVER) this.#timeLeft = this.expiresAt - this.clock.now();
      this.#isWorking = false;
      this.expiresAt = NEVER;
      this.#connection.usage.workEnded(this);
    }
  }

  /** Wakes a source that waits for room in the queue, because its pieces may leave from now on. */
  wake(): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.();
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get isEmpty(): boolean {
    return this.#queue.size === 0;
  }

  enqueue(piece: Data): void {
    this.#queue.push(piece);
    this.#count(byteLength(piece));
  }

  dequeue(): Data | undefined {
    const piece = this.#queue.shift();
    if (piece !== undefined) this.#count(-byteLength(piece));
    return piece;
  }

  /** Drops what is queued. */
  clear(): void {
    this.#queue.clear();
    this.#count(-this.#queuedBytes);
  }

  /** The connection answers to the memory budget for what is queued here. */
  #count(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#connection.holdElsewhere(bytes);
  }
}
