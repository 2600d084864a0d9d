import type { Subscriber } from 'rxjs';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Overrun } from '../connection/writeQueue.ts';
import { SlowConsumerError } from '../errors.ts';
import { Queue } from '../queue.ts';

/** One connection in a broadcast: its own queue of values, and what happens when that is full. */
export class BroadcastMember {
  readonly #connection: SocketConnection;
  readonly #maxOutbound: number;
  readonly #overrun: Overrun;
  readonly #to: Subscriber<Uint8Array>;
  readonly #queue = new Queue<Uint8Array>();
  #queuedBytes = 0;
  #isWaiting = false;
  #isEnding = false;

  /**
   * @param maxOutbound Bytes that may wait for it, here and in the connection.
   * @param overrun What happens past that.
   * @param to Where its values leave.
   */
  constructor(connection: SocketConnection, maxOutbound: number, overrun: Overrun, to: Subscriber<Uint8Array>) {
    this.#connection = connection;
    this.#maxOutbound = maxOutbound;
    this.#overrun = overrun;
    this.#to = to;
  }

  /** Sends a value, or queues it, or applies `overrun`. */
  offer(value: Uint8Array): void {
    if (this.#isEnding) return;
    // A value never overtakes the queued ones, not even while those are leaving.
    if (this.#queuedBytes === 0 && this.#hasRoomFor(value)) return this.#notify('next', value);
    if (this.#unsent + value.length > this.#maxOutbound && !this.#overran(value)) return;
    this.#queue.push(value);
    this.#count(value.length);
    this.#waitForRoom();
  }

  /** Completes when what is queued has left. */
  end(): void {
    this.#isEnding = true;
    if (this.#queuedBytes === 0) this.#notify('complete');
    else this.#waitForRoom();
  }

  /** Errors at once. */
  fail(error: unknown): void {
    this.leave();
    this.#notify('error', error);
  }

  /** Drops what is queued, and takes no more. */
  leave(): void {
    this.#isEnding = true;
    this.#count(-this.#queuedBytes);
    this.#queue.clear();
  }

  /** What waits for the peer, here and in the connection, in bytes. */
  get #unsent(): number {
    const { isWriteInFlight: isCongested, unsent } = this.#connection.output.queue;
    return isCongested ? unsent + this.#queuedBytes : this.#queuedBytes;
  }

  /**
   * Whether the connection has room for a value. While its peer is slow all values wait here, because here they can be dropped.
   * What the connection has gathered is flushed before it exceeds half the limit, because only a flush shows whether the peer
   * is slow.
   */
  #hasRoomFor({ length }: Uint8Array): boolean {
    const { output } = this.#connection;
    if (output.gathered + length > this.#maxOutbound / 2) output.flush();
    return !output.queue.isWriteInFlight && !output.congested;
  }

  /** Applies the policy. @returns Whether there is room for the value now. */
  #overran(value: Uint8Array): boolean {
    if (this.#overrun === 'disconnect') {
      this.#connection.abortWith(new SlowConsumerError(this.#maxOutbound, this.#unsent + value.length));
      return false;
    }
    // A value that would not fit even without the queued ones does not drop them.
    const makesRoom =
      this.#overrun === 'drop-oldest' && this.#unsent - this.#queuedBytes + value.length <= this.#maxOutbound;
    while (makesRoom && this.#queuedBytes > 0 && this.#unsent + value.length > this.#maxOutbound) {
      this.#shift();
      this.#connection.output.queue.dropped++;
    }
    if (this.#unsent + value.length <= this.#maxOutbound) return true;
    this.#connection.output.queue.dropped++;
    return false;
  }

  #waitForRoom(): void {
    if (this.#isWaiting) return;
    this.#connection.whenRoom(() => this.#sendQueued());
    // After the call, which does not call back within itself, because no stack may be left for it.
    this.#isWaiting = true;
  }

  #sendQueued(): void {
    this.#isWaiting = false;
    for (let next = this.#queue.first; next !== undefined && !this.#to.closed; next = this.#queue.first) {
      if (!this.#hasRoomFor(next)) return this.#waitForRoom();
      this.#notify('next', this.#shift());
    }
    if (this.#isEnding) this.#notify('complete');
  }

  /** What a teardown throws is a failure of this member's connection, and must not keep a value from the members behind it. */
  #notify(kind: 'next' | 'error' | 'complete', value?: unknown): void {
    // The caller is the publisher, perhaps the handler of another connection.
    if (this.#connection.hasContext) this.#passInContext(kind, value);
    else this.#pass(kind, value);
  }

  /** Apart from the function above, whose calls without a context then make no object. */
  #passInContext(kind: 'next' | 'error' | 'complete', value: unknown): void {
    this.#connection.inContext(() => this.#pass(kind, value));
  }

  #pass(kind: 'next' | 'error' | 'complete', value: unknown): void {
    try {
      if (kind === 'next') this.#to.next(value as Uint8Array);
      else if (kind === 'error') this.#to.error(value);
      else this.#to.complete();
    } catch (error) {
      this.#connection.crashed(error);
    }
  }

  #shift(): Uint8Array {
    const value = this.#queue.shift() as Uint8Array;
    this.#count(-value.length);
    return value;
  }

  /** The connection answers to the memory budget for what is queued here. */
  #count(bytes: number): void {
    if (bytes === 0) return;
    this.#queuedBytes += bytes;
    this.#connection.holdElsewhere(bytes);
  }
}
