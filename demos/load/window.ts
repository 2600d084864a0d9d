import type { Tally } from './tally.ts';

/** Digits of the connection's number and of the sequence number, each followed by a space. */
const CONNECTION_DIGITS = 5;
const SEQUENCE_DIGITS = 10;
const FILLER_AT = CONNECTION_DIGITS + 1 + SEQUENCE_DIGITS + 1;
const NEWLINE = 10;

/** The shortest line: its two numbers, a byte of filler and the newline. */
export const SHORTEST_LINE = FILLER_AT + 2;

/**
 * The requests in flight on one connection, and the check of their replies. It does not depend on sockets.
 *
 * Requests are stored in a ring of `inFlight` lines, each `size` bytes long, and sent from there. Replies must be identical to
 * the requests in flight, so a chunk of replies is compared with the ring at once, wherever chunks begin and end. A line is
 * overwritten only when its reply has arrived, because by then its bytes have left the process.
 *
 * After a difference the check continues line by line, and uses the numbers in a line to synchronize with the replies again.
 * So a reply that is missing, doubled or corrupt is counted as such, and does not make all later replies wrong.
 */
export class Window {
  readonly #connection: number;
  readonly #inFlight: number;
  readonly #size: number;
  readonly #tally: Tally;
  readonly #ring: Buffer;
  readonly #sentAt: Float64Array;
  readonly #id: RegExp;
  /** The sequence number of the reply that is due, and of the request that is sent next. */
  #due = 0;
  #next = 0;
  /** Bytes of the reply that is due that have arrived, all of them correct. */
  #matched = 0;
  /** The received part of a line that is not the one due; `undefined` if there is no such line. */
  #mismatch: string | undefined;

  constructor(connection: number, inFlight: number, size: number, tally: Tally) {
    this.#connection = connection;
    this.#inFlight = inFlight;
    this.#size = size;
    this.#tally = tally;
    this.#ring = Buffer.alloc(inFlight * size);
    this.#sentAt = new Float64Array(inFlight);
    const prefix = String(connection).padStart(CONNECTION_DIGITS, '0');
    this.#id = new RegExp(`^${prefix} (\\d{${SEQUENCE_DIGITS}}) `);
    for (let slot = 0; slot < inFlight; slot++) {
      const text = `${prefix} ${'0'.repeat(SEQUENCE_DIGITS)} `;
      this.#ring.write(text.padEnd(size - 1, filler(connection, slot)), slot * size, 'latin1');
      this.#ring[(slot + 1) * size - 1] = NEWLINE;
    }
  }

  /** Requests without a reply so far. */
  get outstanding(): number {
    return this.#next - this.#due;
  }

  /** Makes requests until `inFlight` of them are outstanding. @returns The bytes to send, in at most two pieces. */
  refill(now: number): Buffer[] {
    const from = this.#next;
    const to = this.#due + this.#inFlight;
    if (from === to) return [];
    for (let sequence = from; sequence < to; sequence++) this.#stamp(sequence, now);
    this.#next = to;
    this.#tally.sent += to - from;
    const begin = (from % this.#inFlight) * this.#size;
    const end = begin + (to - from) * this.#size;
    const ring = this.#ring;
    if (end <= ring.length) return [ring.subarray(begin, end)];
    return [ring.subarray(begin), ring.subarray(0, end - ring.length)];
  }

  /** Checks a received chunk, which may begin and end anywhere in a line. */
  receive(chunk: Buffer, now: number): void {
    this.#tally.received += chunk.length;
    let at = 0;
    while (at < chunk.length)
      at = this.#mismatch === undefined ? this.#compare(chunk, at, now) : this.#follow(chunk, at, now);
  }

  /** Gives up the replies that have not arrived. @returns Their number. */
  abandon(): number {
    const { outstanding } = this;
    this.#due = this.#next;
    this.#matched = 0;
    return outstanding;
  }

  /** Writes a sequence number into its line. Leading zeros need no rewriting, because numbers only grow. */
  #stamp(sequence: number, now: number): void {
    const slot = sequence % this.#inFlight;
    this.#sentAt[slot] = now;
    let at = slot * this.#size + FILLER_AT - 2;
    let rest = sequence;
    do {
      const tenth = Math.floor(rest / 10);
      this.#ring[at--] = 48 + rest - tenth * 10;
      rest = tenth;
    } while (rest > 0);
  }

  /** Compares as much as is contiguous in the ring. @returns The position in the chunk to continue at. */
  #compare(chunk: Buffer, at: number, now: number): number {
    const ring = this.#ring;
    const start = (this.#due % this.#inFlight) * this.#size + this.#matched;
    const awaited = this.outstanding * this.#size - this.#matched;
    const length = Math.min(chunk.length - at, awaited, ring.length - start);
    if (length > 0 && chunk.compare(ring, start, start + length, at, at + length) === 0) {
      this.#match(length, now);
      return at + length;
    }
    let same = 0;
    while (same < length && chunk[at + same] === ring[start + same]) same++;
    this.#match(same, now);
    const line = (this.#due % this.#inFlight) * this.#size;
    this.#mismatch = ring.toString('latin1', line, line + this.#matched);
    this.#matched = 0;
    return at + same;
  }

  /** Counts correct bytes. Requests of one write have the same time, and are counted together. */
  #match(length: number, now: number): void {
    const total = this.#matched + length;
    const end = this.#due + Math.floor(total / this.#size);
    this.#matched = total % this.#size;
    while (this.#due < end) {
      const sentAt = this.#sentAt[this.#due % this.#inFlight] ?? now;
      let next = this.#due + 1;
      while (next < end && this.#sentAt[next % this.#inFlight] === sentAt) next++;
      this.#tally.reply(next - this.#due, sentAt, now);
      this.#due = next;
    }
  }

  /** Collects a line that is not the one due, until it is complete and can be judged. It keeps a limited prefix of the line. */
  #follow(chunk: Buffer, at: number, now: number): number {
    const newline = chunk.indexOf(NEWLINE, at);
    const end = newline === -1 ? chunk.length : newline + 1;
    const text = this.#mismatch ?? '';
    const room = Math.max(0, this.#size + 1 - text.length);
    this.#mismatch = text + chunk.toString('latin1', at, Math.min(end, at + room));
    if (newline !== -1) {
      this.#judge(this.#mismatch, now);
      this.#mismatch = undefined;
    }
    return end;
  }

  #judge(line: string, now: number): void {
    const sequence = Number(this.#id.exec(line)?.[1] ?? Number.NaN);
    const inWindow = sequence >= this.#due && sequence < this.#next;
    if (inWindow && line === this.#line(sequence)) {
      // A correct reply, but not the one that was due: the replies between are lost.
      this.#tally.lost += sequence - this.#due;
      this.#due = sequence;
      this.#match(this.#size, now);
      return;
    }
    const isUnexpected = sequence < this.#due || this.outstanding === 0;
    const expected = isUnexpected ? undefined : this.#line(this.#due);
    this.#tally.onFault({ connection: this.#connection, due: this.#due, expected, received: line });
    if (isUnexpected) {
      this.#tally.unexpected++;
    } else {
      this.#tally.wrong++;
      this.#due++;
    }
  }

  #line(sequence: number): string {
    const start = (sequence % this.#inFlight) * this.#size;
    return this.#ring.toString('latin1', start, start + this.#size);
  }
}

/** Letters that differ from line to line, so that a reply composed of parts of two lines is detected. */
function filler(connection: number, slot: number): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const first = (connection * 7 + slot) % letters.length;
  return letters.slice(first) + letters.slice(0, first);
}
