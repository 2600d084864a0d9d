import type { Tally } from './tally.ts';

/** Digits of the connection's number and of the sequence number, each followed by a space. */
const CONNECTION_DIGITS = 5;
const SEQUENCE_DIGITS = 10;
const FILLER_AT = CONNECTION_DIGITS + 1 + SEQUENCE_DIGITS + 1;
const NEWLINE = 10;

/** The shortest line: its two numbers, a byte of filler and the newline. */
export const SHORTEST_LINE = FILLER_AT + 2;

/**
 * The requests in flight on one connection, and the check of what comes back. It knows nothing of sockets.
 *
 * Requests lie in a ring of `inFlight` lines, each `size` bytes long, and are sent from there. What is in flight is what the
 * replies have to be, byte for byte, so a chunk of replies is compared with the ring in one go, however it was split. A
 * line is overwritten only when its reply has come, and then its bytes have left.
 *
 * After a difference the check goes on line by line, and by the numbers in a line finds back to the replies in order: a
 * reply that was swallowed, doubled or spoilt is counted as that, and does not make all that follow it wrong.
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
  /** How many bytes of the reply that is due have come, all of them right. */
  #matched = 0;
  /** What has come of a line that is not the one due; `undefined` while all is well. */
  #astray: string | undefined;

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

  /** How many requests wait for their reply. */
  get outstanding(): number {
    return this.#next - this.#due;
  }

  /** Makes requests until `inFlight` of them are outstanding. Returns the bytes to send, in at most two pieces. */
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

  /** Checks what has come, which need not be whole lines. */
  receive(chunk: Buffer, now: number): void {
    this.#tally.received += chunk.length;
    let at = 0;
    while (at < chunk.length)
      at = this.#astray === undefined ? this.#compare(chunk, at, now) : this.#follow(chunk, at, now);
  }

  /** Gives up the replies that have not come. Returns how many those are. */
  abandon(): number {
    const { outstanding } = this;
    this.#due = this.#next;
    this.#matched = 0;
    return outstanding;
  }

  /** Writes a sequence number into its line. Numbers only grow, so the zeros before them stay. */
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

  /** Compares as much as lies in one piece in the ring. Returns where in the chunk to go on. */
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
    this.#astray = ring.toString('latin1', line, line + this.#matched);
    this.#matched = 0;
    return at + same;
  }

  /** Counts bytes that were right. Requests that left in one write have one time, and are counted in one go. */
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

  /** Collects a line that is not the one due, to judge it when it is whole. A line without an end is not kept. */
  #follow(chunk: Buffer, at: number, now: number): number {
    const newline = chunk.indexOf(NEWLINE, at);
    const end = newline === -1 ? chunk.length : newline + 1;
    const text = this.#astray ?? '';
    const room = Math.max(0, this.#size + 1 - text.length);
    this.#astray = text + chunk.toString('latin1', at, Math.min(end, at + room));
    if (newline !== -1) {
      this.#judge(this.#astray, now);
      this.#astray = undefined;
    }
    return end;
  }

  #judge(line: string, now: number): void {
    const sequence = Number(this.#id.exec(line)?.[1] ?? Number.NaN);
    const inWindow = sequence >= this.#due && sequence < this.#next;
    if (inWindow && line === this.#line(sequence)) {
      // A right reply, but not the one that was due: those between are passed over.
      this.#tally.lost += sequence - this.#due;
      this.#due = sequence;
      this.#match(this.#size, now);
      return;
    }
    const answersNothing = sequence < this.#due || this.outstanding === 0;
    const expected = answersNothing ? undefined : this.#line(this.#due);
    this.#tally.onFault({ connection: this.#connection, due: this.#due, expected, received: line });
    if (answersNothing) {
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

/** Letters that differ from line to line, so that a reply pieced together from two is seen. */
function filler(connection: number, slot: number): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const turn = (connection * 7 + slot) % letters.length;
  return letters.slice(turn) + letters.slice(0, turn);
}
