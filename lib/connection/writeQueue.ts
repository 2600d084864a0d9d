import { describe } from '../options.ts';
import { byteLength, lengthOf } from '../transport/gather.ts';
import type { TransportSocket } from '../transport/transport.ts';

/** What can be written. Bytes must not be changed until they are sent. */
export type Data = string | Uint8Array;

// For the layers that do not see the transport.
export { byteLength };

/** The error for a value that cannot be written. */
export const notData = (value: unknown): TypeError =>
  new TypeError(`Cannot send ${describe(value)}: it is neither a string nor a Uint8Array`);

/**
 * What happens to output above the limit of a slow peer's connection: the peer is disconnected, or the oldest queued values are
 * dropped, or the new ones. Only whole values are dropped.
 */
export type Overrun = 'disconnect' | 'drop-oldest' | 'drop-newest';

export const overruns: readonly Overrun[] = ['disconnect', 'drop-oldest', 'drop-newest'];

/** The limits of each connection's output. */
export interface OutputLimits {
  /** Bytes that may be unsent; above that `overrun` applies. */
  readonly maxOutbound: number;
  /**
   * Unsent bytes above which the input is paused. Up to it a value is queued whatever its length, because a sender that waits for
   * room has been notified that there is some.
   */
  readonly highWaterMark: number;
  readonly overrun: Overrun;
}

/** What only the output of a peer that reads too slowly has, or one that has to wait. */
class Backlog {
  /** Whether what is written is only queued. */
  isHeld = false;
  /** What was written before `hold`, and waits for the write in flight. */
  ahead: Data | Data[] | undefined;
  /** Bytes of the write in flight: the network keeps all of them in memory until the last one is sent. */
  handed = 0;
  /** The index of the first queued piece that was not dropped. */
  head = 0;
  /** Values that were dropped. */
  dropped = 0;
}

/**
 * The queue of one connection's output. Values that are queued before a flush leave in one write, and at most one write is in
 * flight. Values that are written meanwhile stay here, where they can be counted and, if necessary, dropped.
 */
export class WriteQueue {
  #socket: TransportSocket;
  readonly #limits: OutputLimits;
  /** While all queued values are strings they are concatenated, which costs almost nothing. */
  #text = '';
  #pieces: Data[] | undefined;
  /**
   * The length of what is queued: in bytes, or, while no write is in flight, in characters, of which there are at most as many.
   */
  #length = 0;
  #inFlight = false;
  /** Made when the network first does not take a write at once; most peers take every write. */
  #backlog: Backlog | undefined;
  #ended = false;
  #finished = false;
  #failed = false;

  constructor(socket: TransportSocket, limits: OutputLimits) {
    this.#socket = socket;
    this.#limits = limits;
  }

  /** Writes to another socket from now on. No write is in flight. */
  replaceSocket(socket: TransportSocket): void {
    this.#socket = socket;
  }

  /** Whether what is written has to wait: for the network, which has not taken the last write, or for `release`. */
  get isWriteInFlight(): boolean {
    return this.#inFlight || this.isHeld;
  }

  /** Whether it waits for `release`. */
  get isHeld(): boolean {
    return this.#backlog?.isHeld === true;
  }

  /** Whether the network has taken all that was written before `hold`. */
  get isTaken(): boolean {
    return !this.#inFlight;
  }

  /** Whether nothing more can be written. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether everything is sent, our FIN included. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Whether a write has failed. What is written afterwards is counted, and never sent. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Values that were dropped. */
  get dropped(): number {
    return this.#backlog?.dropped ?? 0;
  }

  set dropped(values: number) {
    this.#slow.dropped = values;
  }

  /** Bytes that were written and are not sent. */
  get unsent(): number {
    if (this.#failed) return this.#handed;
    return this.#socket.pending + this.#ahead + (this.#inFlight ? this.#length : this.#count());
  }

  /** Bytes of memory that a slow peer costs. */
  get weight(): number {
    if (!this.isWriteInFlight) return 0;
    return (this.#inFlight ? this.#handed : 0) + this.#ahead + this.#length;
  }

  /** The length of what waits for a flush: in bytes, or in characters where bytes have not been counted. */
  get waiting(): number {
    return this.#length;
  }

  /**
   * Queues a value.
   *
   * @returns Whether it was queued, or dropped as `overrun` says. If not, the limit would be exceeded.
   */
  push(data: Data): boolean {
    if (this.#ended || data.length === 0) return true;
    if (this.#failed) {
      this.#slow.handed += byteLength(data);
      return true;
    }
    if (!this.isWriteInFlight) {
      this.#join(data, data.length);
      return true;
    }
    // While the peer is slow, the queue is what costs memory, so it is counted exactly.
    const length = byteLength(data);
    const { unsent } = this;
    const { maxOutbound, highWaterMark, overrun } = this.#limits;
    if (unsent + length <= maxOutbound || unsent <= highWaterMark) {
      if (overrun === 'disconnect') this.#join(data, length);
      else this.#append(data, length);
      return true;
    }
    if (overrun === 'disconnect') return false;
    // The write in flight cannot be dropped. If it leaves no room, the new value is dropped and the queued ones stay.
    if (overrun === 'drop-oldest' && this.#socket.pending + length <= maxOutbound) this.#makeRoom(length);
    if (this.unsent + length <= maxOutbound) this.#append(data, length);
    else this.dropped++;
    return true;
  }

  /** Hands what is queued to the network, unless the last write is still in flight. */
  flush(): void {
    if (this.#inFlight || this.#failed) return;
    try {
      if (this.#backlog?.ahead !== undefined) this.#writeAhead(this.#backlog);
      else if (this.#length > 0 && !this.isHeld) this.#write(this.#take());
    } finally {
      // Also after a write that throws, because no other call would end the socket.
      if (this.#ended && !this.isWriteInFlight) this.#socket.end();
    }
  }

  /** Hands on what was written before. What is written from now on is only queued, until {@link release}. */
  hold(): void {
    this.flush();
    this.#slow.isHeld = true;
    if (this.#length > 0) this.#slow.ahead = this.#take();
  }

  release(): void {
    this.#slow.isHeld = false;
    this.flush();
  }

  #writeAhead(backlog: Backlog): void {
    const { ahead = '' } = backlog;
    backlog.ahead = undefined;
    this.#write(ahead);
  }

  #take(): Data | Data[] {
    const head = this.#backlog?.head ?? 0;
    const pieces = head > 0 ? this.#pieces?.slice(head) : this.#pieces;
    const data = pieces === undefined ? this.#text : pieces.length === 1 ? (pieces[0] as Data) : pieces;
    this.#clear();
    return data;
  }

  #write(data: Data | Data[]): void {
    this.#inFlight = !this.#socket.write(data);
    if (this.#inFlight) this.#slow.handed = lengthOf(data);
  }

  /** The network has taken the last write. */
  writable(): void {
    this.#inFlight = false;
    this.flush();
  }

  /** Sends a FIN behind all that was written. Nothing more can be written. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.flush();
  }

  /** A write has failed: what is not sent never will be. */
  fail(): void {
    // Of a write that it rejected as a whole, the network has kept nothing.
    const handed = (this.#socket.pending || this.#handed) + this.#ahead + this.#length;
    this.#slow.handed = this.#inFlight ? handed : this.unsent;
    this.#failed = true;
    this.#inFlight = false;
    this.drop();
  }

  /** Our FIN is sent. */
  finish(): void {
    this.#finished = true;
  }

  /** Drops what is queued, without counting it as dropped. */
  drop(): void {
    if (this.#backlog) this.#backlog.ahead = undefined;
    this.#clear();
  }

  #clear(): void {
    this.#text = '';
    this.#pieces = undefined;
    if (this.#backlog) this.#backlog.head = 0;
    this.#length = 0;
  }

  /** Counts what is queued in bytes: while no write is in flight, that was not done when it was queued. */
  #count(): number {
    return lengthOf(this.#pieces ?? this.#text);
  }

  #join(data: Data, length: number): void {
    if (typeof data !== 'string' || this.#pieces !== undefined) return this.#append(data, length);
    this.#text += data;
    this.#length += length;
  }

  #append(data: Data, length: number): void {
    if (this.#pieces === undefined) {
      // With its first values: an empty array would make room for seventeen when the first one is pushed.
      this.#pieces = this.#text === '' ? [data] : [this.#text, data];
      this.#text = '';
    } else {
      this.#pieces.push(data);
    }
    this.#length += length;
  }

  get #slow(): Backlog {
    this.#backlog ??= new Backlog();
    return this.#backlog;
  }

  /** Bytes that were written before `hold`, and wait. */
  get #ahead(): number {
    const ahead = this.#backlog?.ahead;
    return ahead === undefined ? 0 : lengthOf(ahead);
  }

  get #handed(): number {
    return this.#backlog?.handed ?? 0;
  }

  /** Drops the oldest values until there is room for so many bytes, or nothing is left to drop. */
  #makeRoom(length: number): void {
    const pieces = this.#pieces ?? [];
    const slow = this.#slow;
    while (slow.head < pieces.length && this.unsent + length > this.#limits.maxOutbound) {
      this.#length -= byteLength(pieces[slow.head] as Data);
      pieces[slow.head++] = '';
      slow.dropped++;
    }
    // Removed in batches, because each removal at the front of an array moves all values behind it.
    if (slow.head > pieces.length / 2) {
      this.#pieces = pieces.slice(slow.head);
      slow.head = 0;
    }
  }
}
