/**
 * Replies, as **byte strings**: JavaScript strings with one character for each byte (`latin1`). Keys, values and
 * replies are all stored this way: it is binary safe, V8 needs one byte for a character, joining is cheap, and {@link gather}
 * converts all replies of a callback at once.
 */
export type ByteString = string;

/**
 * A reply: one byte string, or several to be sent one after the other. V8's strings end at 512 MiB, and an executed command
 * must be answered however long its reply is.
 */
export type Reply = ByteString | readonly ByteString[];

/** Up to this many bytes are joined to one string. A longer value is a string of its own. */
const PIECE = 1024 * 1024;

const CRLF = '\r\n';
/** `$0\r\n`, `$1\r\n` …: the heads of short values, which are the most frequent. */
const heads = Array.from({ length: 1024 }, (_, length) => `$${length}${CRLF}`);

export const OK = `+OK${CRLF}`;
export const QUEUED = `+QUEUED${CRLF}`;
export const ZERO = `:0${CRLF}`;
export const ONE = `:1${CRLF}`;

/** A value of any bytes. */
export const bulk = (value: ByteString): ByteString =>
  `${heads[value.length] ?? `$${value.length}${CRLF}`}${value}${CRLF}`;

/** A short status without line ends. */
export const simple = (text: string): ByteString => `+${text}${CRLF}`;

/** A whole number of 64 bits. */
export const integer = (value: number | bigint): ByteString =>
  value === 0 ? ZERO : value === 1 ? ONE : `:${value}${CRLF}`;

/** True or false, which Redis sends as 1 or 0. */
export const flag = (value: boolean): ByteString => (value ? ONE : ZERO);

/** An error. Line ends are replaced, because its text comes partly from the client and a line end would begin another reply. */
export const failure = (text: string): ByteString => `-${text.replace(/[\r\n]/g, ' ')}${CRLF}`;

/** Byte strings in order, joined to as few as their lengths allow. */
export class Pieces {
  #pieces: ByteString[] | undefined;
  #last: ByteString = '';

  /** One byte string if there is only one; otherwise all of them. */
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

/** A head, and replies one after the other behind it. */
export function joined(head: ByteString, items: Iterable<Reply>): Reply {
  const pieces = new Pieces();
  pieces.add(head);
  for (const item of items) pieces.add(item);
  return pieces.all;
}

/** The length of a reply, in bytes. */
export const lengthOf = (reply: Reply): number =>
  typeof reply === 'string' ? reply.length : reply.reduce((length, piece) => length + piece.length, 0);

/** An array of encoded replies. */
export const array = (items: readonly Reply[]): Reply => joined(`*${items.length}${CRLF}`, items);

/** Values as an array of bulks: a reply, or a request as the log stores it. */
export const bulks = (values: readonly ByteString[]): Reply => array(values.map(bulk));

/** The encodings that differ between the two versions of the protocol. Items are already encoded. */
export interface Form {
  readonly version: 2 | 3;
  /** The absence of a value. */
  readonly null: ByteString;
  /** The absence of an array; RESP3 has one null for both. */
  readonly nullArray: ByteString;
  /** Pairs, one after the other: field, value, field, value. */
  map(items: readonly Reply[]): Reply;
  /** Members without an order. */
  set(items: readonly Reply[]): Reply;
  /** A message that is no reply. */
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
