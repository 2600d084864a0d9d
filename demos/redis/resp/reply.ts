/**
 * Replies, as **byte strings**: JavaScript strings with one character for each byte (`latin1`). Keys, values and
 * replies are all kept so: it is binary safe, V8 stores it in one byte a character, joining is cheap, and the bytes of
 * a whole turn are made at once, in {@link gather}.
 */
export type ByteString = string;

/**
 * A reply: one byte string, or several to be sent one after the other. V8's strings end at 512 MiB, and what a command has
 * done must be answered however long the answer is.
 */
export type Reply = ByteString | readonly ByteString[];

/** Bytes that are joined to one string. A longer value is a string of its own. */
const PIECE = 1024 * 1024;

const CRLF = '\r\n';
/** `$0\r\n`, `$1\r\n` …: the heads of the short values, which are most of them. */
const heads = Array.from({ length: 1024 }, (_, length) => `$${length}${CRLF}`);

export const OK = `+OK${CRLF}`;
export const QUEUED = `+QUEUED${CRLF}`;
export const ZERO = `:0${CRLF}`;
export const ONE = `:1${CRLF}`;

/** One value of any bytes. */
export const bulk = (value: ByteString): ByteString =>
  `${heads[value.length] ?? `$${value.length}${CRLF}`}${value}${CRLF}`;

/** A short status without line ends. */
export const simple = (text: string): ByteString => `+${text}${CRLF}`;

/** A whole number of 64 bits. */
export const integer = (value: number | bigint): ByteString =>
  value === 0 ? ZERO : value === 1 ? ONE : `:${value}${CRLF}`;

/** Yes or no, which Redis says as 1 or 0. */
export const flag = (value: boolean): ByteString => (value ? ONE : ZERO);

/** An error. Its text comes partly from the client, and a line end in it would begin another reply. */
export const failure = (text: string): ByteString => `-${text.replace(/[\r\n]/g, ' ')}${CRLF}`;

/** Byte strings one after the other, as few of them as their lengths allow. */
export class Pieces {
  #pieces: ByteString[] | undefined;
  #last: ByteString = '';

  /** The last one while it is the only one, all of them else. */
  get all(): Reply {
    return this.#pieces === undefined ? this.#last : [...this.#pieces, this.#last];
  }

  add(reply: Reply): void {
    if (typeof reply === 'string') this.#add(reply);
    else for (const piece of reply) this.#add(piece);
  }

  #add(text: ByteString): void {
    if (this.#last === '' || this.#last.length + text.length <= PIECE) {
      this.#last += text;
      return;
    }
    this.#pieces ??= [];
    this.#pieces.push(this.#last);
    this.#last = text;
  }
}

/** Replies one after the other, behind a head. */
export function joined(head: ByteString, items: Iterable<Reply>): Reply {
  const pieces = new Pieces();
  pieces.add(head);
  for (const item of items) pieces.add(item);
  return pieces.all;
}

/** In bytes. */
export const lengthOf = (reply: Reply): number =>
  typeof reply === 'string' ? reply.length : reply.reduce((length, piece) => length + piece.length, 0);

/** Replies that are encoded already, as one array. */
export const array = (items: readonly Reply[]): Reply => joined(`*${items.length}${CRLF}`, items);

/** Values, as an array of bulks: a reply, and a request as the log keeps it. */
export const bulks = (values: readonly ByteString[]): Reply => array(values.map(bulk));

/** What the two versions of the protocol say differently. Items are encoded already. */
export interface Form {
  readonly version: 2 | 3;
  /** No value. */
  readonly null: ByteString;
  /** No array; RESP3 has one null for both. */
  readonly nullArray: ByteString;
  /** Pairs, one after the other: field, value, field, value. */
  map(items: readonly Reply[]): Reply;
  /** Members without an order. */
  set(items: readonly Reply[]): Reply;
  /** What the client did not ask for. */
  push(items: readonly Reply[]): Reply;
  /** A text for people. */
  text(value: string): ByteString;
}

export const resp2: Form = {
  version: 2,
  null: `$-1${CRLF}`,
  nullArray: `*-1${CRLF}`,
  map: array,
  set: array,
  push: array,
  text: bulk,
};

export const resp3: Form = {
  version: 3,
  null: `_${CRLF}`,
  nullArray: `_${CRLF}`,
  map: (items) => joined(`%${items.length / 2}${CRLF}`, items),
  set: (items) => joined(`~${items.length}${CRLF}`, items),
  push: (items) => joined(`>${items.length}${CRLF}`, items),
  text: (value) => `=${value.length + 4}${CRLF}txt:${value}${CRLF}`,
};
