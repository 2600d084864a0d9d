import { type Subscriber, Subscription } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import { ReplyDeadline } from './replyDeadline.ts';
import { ReplySlot } from './replySlot.ts';

/**
 * The order in which the pieces of replies leave, and when.
 *
 * ```text
 * reply to a   --A-----A|          leaves as it comes
 * reply to b   ----B-B|            is queued until the reply to a is complete
 * peer         =======   =====     has room
 * output       --A-------AB-B-
 * ```
 *
 * Without an order, each reply leaves as it comes.
 */
export class ReplyOrder {
  /** The requests in progress, oldest first. */
  readonly slots: ReadonlySet<ReplySlot>;
  readonly ordered: boolean;
  readonly #slots = new Set<ReplySlot>();
  readonly #connection: SocketConnection;
  readonly #deadline: ReplyDeadline;
  readonly #to: Subscriber<Data>;
  readonly #advanced: () => void;
  #isWaiting = false;

  /**
   * @param ordered Whether replies leave in the order of their requests.
   * @param timeout Milliseconds that the work on one request may take.
   * @param to Where pieces leave.
   * @param advanced Is called when room was made, after what was queued has left.
   */
  constructor(
    connection: SocketConnection,
    ordered: boolean,
    timeout: number,
    to: Subscriber<Data>,
    advanced: () => void,
  ) {
    this.#connection = connection;
    this.ordered = ordered;
    this.#to = to;
    this.#advanced = advanced;
    this.slots = this.#slots;
    this.#deadline = new ReplyDeadline(timeout, this.#slots, connection);
  }

  /** Takes a place behind all requests in progress. */
  enter(): ReplySlot {
    const slot = new ReplySlot(this.#connection, this.#deadline, !this.ordered || this.#slots.size === 0);
    this.#slots.add(slot);
    return slot;
  }

  /** Sends a piece, or queues it. */
  add(slot: ReplySlot, piece: Data): void {
    if (slot.isDirect && !this.#connection.congested) return this.#to.next(piece);
    slot.enqueue(piece);
    // Each time, because no stack may have been left for it before.
    if (slot.isDirect || slot.waitsForPeer) this.#waitForPeer(slot);
  }

  /** A reply is complete. */
  complete(slot: ReplySlot): void {
    slot.isDone = true;
    if (this.ordered || !slot.isEmpty) this.#advance();
    else this.#slots.delete(slot);
  }

  /** A request has failed. The error is emitted after the replies before it, or after what is queued if there is no order. */
  fail(slot: ReplySlot, error: unknown): void {
    // A slot that was answered and has left is not in the order any more.
    if (this.ordered && this.#slots.has(slot)) return this.#advance();
    if (!this.ordered) for (const other of this.#slots) this.flush(other);
    this.#to.error(error);
  }

  /** Sends all that is queued in a slot that waits for the peer, whether there is room or not. */
  flush(slot: ReplySlot): void {
    for (let piece = slot.dequeue(); piece !== undefined; piece = slot.dequeue()) this.#to.next(piece);
    slot.isDirect = true;
    slot.waitsForPeer = false;
  }

  /** Goes on when the peer, or the memory budget, has made room. */
  waitForRoom(): void {
    if (this.#isWaiting) return;
    this.#connection.whenRoom(() => {
      this.#isWaiting = false;
      if (this.#to.closed) return;
      this.#advance();
      this.#advanced();
    });
    // After the call, which does not call back within itself, because no stack may be left for it.
    this.#isWaiting = true;
  }

  /** Unsubscribes the requests and all replies. */
  stop(requests: Subscription): void {
    // Together, because the teardown of one may throw and the rest must be unsubscribed all the same.
    const works = new Subscription();
    works.add(requests);
    const slots = [...this.#slots];
    for (const slot of slots) {
      slot.clear();
      works.add(slot.work);
    }
    this.#slots.clear();
    this.#deadline.clear();
    try {
      works.unsubscribe();
    } finally {
      for (const slot of slots) slot.working(false);
    }
  }

  /** Sends what may leave while there is room: the complete replies at the front, and what is queued of the next one. */
  #advance(): void {
    for (const slot of this.#slots) {
      // One by one: a piece may cause a further one of this reply, or its end, and that comes after what is queued.
      while (!slot.isEmpty) {
        if (this.#connection.congested) return this.#waitForPeer(slot);
        this.#to.next(slot.dequeue() as Data);
      }
      slot.isDirect = true;
      slot.waitsForPeer = false;
      slot.wake();
      if (slot.failure) return this.#to.error(slot.failure.error);
      if (slot.isDone) this.#slots.delete(slot);
      else if (this.ordered) return;
    }
  }

  #waitForPeer(slot: ReplySlot): void {
    slot.isDirect = false;
    slot.waitsForPeer = true;
    this.waitForRoom();
  }
}
