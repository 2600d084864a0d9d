import { describe, isData } from '../options.ts';
import type { TransportSocket } from '../transport/transport.ts';

/** What may be written. Bytes are the connection's from then on: nobody changes them before they have left. */
export type Data = string | Uint8Array;

/** What to say of a value that cannot be. */
export const notData = (value: unknown): TypeError =>
  new TypeError(`Cannot send ${describe(value)}: it is neither a string nor a Uint8Array`);

/**
 * What becomes of output that is more than a slow peer's connection may hold: the peer is disconnected, or what has waited
 * longest is dropped, or what is new. Only whole values are dropped.
 */
export type Overrun = 'disconnect' | 'drop-oldest' | 'drop-newest';

export const overruns: readonly Overrun[] = ['disconnect', 'drop-oldest', 'drop-newest'];

const lengthOf = (data: Data | readonly Data[]): number =>
  isData(data) ? byteLength(data) : data.reduce((sum, piece) => sum + byteLength(piece), 0);

export const byteLength = (data: Data): number => (typeof data === 'string' ? Buffer.byteLength(data) : data.length);

/** What the output of each connection may be. */
export interface Limits {
  /** Bytes that may be unsent; past that `overrun` says what happens. */
  readonly maxOutbound: number;
  /**
   * Unsent bytes at which the input pauses, and up to which a value is let in whatever its length: who waits for room is told
   * that there is some.
   */
  readonly highWaterMark: number;
  readonly overrun: Overrun;
}

/**
 * The output of one connection. What is written in one turn leaves in one write, and at most one write is under way: what
 * is written meanwhile waits here, where it can be counted and, if it must be, dropped.
 */
export class WriteQueue {
  /** Values that were dropped. */
  dropped = 0;
  readonly #socket: TransportSocket;
  readonly #limits: Limits;
  /** While all pieces of the turn are strings they are joined, which costs next to nothing. */
  #text = '';
  #pieces: Data[] | undefined;
  /** The first of them that was not dropped. */
  #head = 0;
  /** Of what waits: bytes, or characters, which are at most as many, while nothing is under way. */
  #length = 0;
  #underWay = false;
  /** Bytes of the write under way: the network lets go of none of them before the last has left. */
  #handed = 0;
  #ended = false;
  #finished = false;
  #failed = false;

  constructor(socket: TransportSocket, limits: Limits) {
    this.#socket = socket;
    this.#limits = limits;
  }

  /** Whether a write is under way, that is, the peer does not keep pace. */
  get isCongested(): boolean {
    return this.#underWay;
  }

  /** Whether nothing can be written any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether all has left, our FIN included. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Whether a write has failed. What is written from then on goes nowhere. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Bytes that were written and have not left. */
  get unsent(): number {
    if (this.#failed) return this.#handed;
    return this.#socket.pending + (this.#underWay ? this.#length : this.#count());
  }

  /** Bytes of memory that a peer who does not keep pace costs. */
  get weight(): number {
    return this.#underWay ? this.#handed + this.#length : 0;
  }

  /** Of what waits to be flushed: bytes, or characters where they have not been counted. */
  get waiting(): number {
    return this.#length;
  }

  /**
   * Queues a value.
   *
   * @returns Whether it was queued or dropped by the rules. If not, more would be unsent than may be.
   */
  push(data: Data): boolean {
    if (this.#ended || data.length === 0) return true;
    if (this.#failed) {
      this.#handed += byteLength(data);
      return true;
    }
    if (!this.#underWay) {
      this.#join(data, data.length);
      return true;
    }
    // While the peer does not keep pace the queue is what memory is spent on: it is counted exactly.
    const length = byteLength(data);
    const { unsent } = this;
    const { maxOutbound, highWaterMark, overrun } = this.#limits;
    if (unsent + length <= maxOutbound || unsent <= highWaterMark) {
      if (overrun === 'disconnect') this.#join(data, length);
      else this.#append(data, length);
      return true;
    }
    if (overrun === 'disconnect') return false;
    // What is under way cannot be dropped: where it leaves no room the new value goes, and what waits stays.
    if (overrun === 'drop-oldest' && this.#socket.pending + length <= maxOutbound) this.#makeRoom(length);
    if (this.unsent + length <= maxOutbound) this.#append(data, length);
    else this.dropped++;
    return true;
  }

  /** Hands on what waits, unless the last write is still under way. */
  flush(): void {
    if (this.#underWay || this.#failed) return;
    if (this.#length > 0) {
      const pieces = this.#head > 0 ? this.#pieces?.slice(this.#head) : this.#pieces;
      const data = pieces === undefined ? this.#text : pieces.length === 1 ? (pieces[0] as Data) : pieces;
      this.drop();
      this.#underWay = !this.#socket.write(data);
      if (this.#underWay) this.#handed = lengthOf(data);
    }
    if (this.#ended && !this.#underWay) this.#socket.end();
  }

  /** The last write has been taken. */
  writable(): void {
    this.#underWay = false;
    this.flush();
  }

  /** A FIN behind all that was written; nothing can be written any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.flush();
  }

  /** A write has failed: what has not left never will. */
  fail(): void {
    // The network kept nothing of a write that it refused whole.
    this.#handed = this.#underWay ? (this.#socket.pending || this.#handed) + this.#length : this.unsent;
    this.#failed = true;
    this.#underWay = false;
    this.drop();
  }

  /** Our FIN is out. */
  finish(): void {
    this.#finished = true;
  }

  /** Forgets what waits. */
  drop(): void {
    this.#text = '';
    this.#pieces = undefined;
    this.#head = 0;
    this.#length = 0;
  }

  /** What waits while nothing is under way was not counted when it was queued. */
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
      this.#pieces = this.#text === '' ? [] : [this.#text];
      this.#text = '';
    }
    this.#pieces.push(data);
    this.#length += length;
  }

  /** Drops what has waited longest until so many bytes have room, or nothing is left to drop. */
  #makeRoom(length: number): void {
    const pieces = this.#pieces ?? [];
    while (this.#head < pieces.length && this.unsent + length > this.#limits.maxOutbound) {
      this.#length -= byteLength(pieces[this.#head] as Data);
      pieces[this.#head++] = '';
      this.dropped++;
    }
    // Moved up in batches: taking each off the front would move all that are behind it, each time.
    if (this.#head > pieces.length / 2) {
      this.#pieces = pieces.slice(this.#head);
      this.#head = 0;
    }
  }
}
