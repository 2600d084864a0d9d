import type { TransportSocket } from '../transport/transport.ts';

/** What may be written. Bytes are the connection's from then on: nobody changes them before they have left. */
export type Data = string | Uint8Array;

/**
 * The output of one connection. What is written in one turn leaves in one write, and at most one write is under way: what
 * is written meanwhile waits here, where it can be counted.
 */
export class Writes {
  readonly #socket: TransportSocket;
  /** While all pieces of the turn are strings they are joined, which costs next to nothing. */
  #text = '';
  #pieces: Data[] | undefined;
  /** Of the pieces: bytes, or characters, which are at most as many. */
  #length = 0;
  #underWay = false;
  #ended = false;
  #finished = false;

  constructor(socket: TransportSocket) {
    this.#socket = socket;
  }

  /** Whether a write is under way, that is, the peer does not keep pace. */
  get stalled(): boolean {
    return this.#underWay;
  }

  /** Whether all has left, our FIN included. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Bytes that were written and have not left. */
  get unsent(): number {
    return this.#socket.pending + (this.#underWay ? this.#length : this.#count());
  }

  /** Of what waits to be flushed: bytes, or characters where they have not been counted. */
  get waiting(): number {
    return this.#length;
  }

  /**
   * Queues a piece.
   *
   * @returns Whether it is the first that waits, so that a flush must be arranged.
   */
  push(data: Data): boolean {
    if (this.#ended || data.length === 0) return false;
    const first = this.#length === 0;
    if (typeof data === 'string') {
      // While the peer does not keep pace the queue is what memory is spent on: then it is counted exactly.
      this.#length += this.#underWay ? Buffer.byteLength(data) : data.length;
      if (this.#pieces === undefined) this.#text += data;
      else this.#pieces.push(data);
    } else {
      this.#length += data.length;
      if (this.#pieces === undefined) {
        this.#pieces = this.#text === '' ? [] : [this.#text];
        this.#text = '';
      }
      this.#pieces.push(data);
    }
    return first;
  }

  /** Hands on what waits, unless the last write is still under way. */
  flush(): void {
    if (this.#underWay) return;
    if (this.#length > 0) {
      const pieces = this.#pieces;
      const data = pieces === undefined ? this.#text : pieces.length === 1 ? (pieces[0] as Data) : pieces;
      this.drop();
      this.#underWay = !this.#socket.write(data);
    }
    if (this.#ended && !this.#underWay) this.#socket.end();
  }

  /** The last write has been taken. */
  drained(): void {
    this.#underWay = false;
    this.flush();
  }

  /** A FIN behind all that was written; nothing can be written any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.flush();
  }

  /** Our FIN is out. */
  finish(): void {
    this.#finished = true;
  }

  /** What waits while nothing is under way was not counted when it was queued. */
  #count(): number {
    const pieces = this.#pieces ?? [this.#text];
    return pieces.reduce(
      (sum, piece) => sum + (typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length),
      0,
    );
  }

  /** Forgets what waits. */
  drop(): void {
    this.#text = '';
    this.#pieces = undefined;
    this.#length = 0;
  }
}
