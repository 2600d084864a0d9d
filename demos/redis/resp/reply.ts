/**
 * Replies, as **byte strings**: JavaScript strings with one character for each byte (`latin1`). Keys, values and
 * replies are all kept so: it is binary safe, V8 stores it in one byte a character, joining is cheap, and the bytes of
 * a whole turn are made at once, in {@link gather}.
 */
export type ByteString = string;

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

/** Replies that are encoded already, as one array. */
export const array = (items: readonly ByteString[]): ByteString => `*${items.length}${CRLF}${items.join('')}`;

/** Values, as an array of bulks. */
export const bulks = (values: Iterable<ByteString>): ByteString => {
  let text = '';
  let count = 0;
  for (const value of values) {
    text += bulk(value);
    count++;
  }
  return `*${count}${CRLF}${text}`;
};

/** What the two versions of the protocol say differently. Items are encoded already. */
export interface Form {
  readonly version: 2 | 3;
  /** No value. */
  readonly null: ByteString;
  /** No array; RESP3 has one null for both. */
  readonly nullArray: ByteString;
  /** Pairs, one after the other: field, value, field, value. */
  map(items: readonly ByteString[]): ByteString;
  /** Members without an order. */
  set(items: readonly ByteString[]): ByteString;
  /** What the client did not ask for. */
  push(items: readonly ByteString[]): ByteString;
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
  map: (items) => `%${items.length / 2}${CRLF}${items.join('')}`,
  set: (items) => `~${items.length}${CRLF}${items.join('')}`,
  push: (items) => `>${items.length}${CRLF}${items.join('')}`,
  text: (value) => `=${value.length + 4}${CRLF}txt:${value}${CRLF}`,
};

/** A request, as a client sends it and as the log keeps it. */
export const request = (args: readonly ByteString[]): ByteString => bulks(args);
