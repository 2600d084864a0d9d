/** The longest key, in bytes. */
export const MAX_KEY = 250;

/** What the original spends on an item beside its key and data, in bytes: its header, a cas id, a NUL and a CRLF. */
const HEADER = 48 + 8 + 1 + 2;

/** How large the original says an item is, in bytes: what `-I` limits, and what `STAT bytes` adds up. */
export function itemSize(keyLength: number, flags: number, dataLength: number): number {
  return HEADER + keyLength + dataLength + (flags === 0 ? 0 : 4);
}

/**
 * What an item takes beyond that in this process, in bytes: its objects, its place in the map, its key as a string.
 * Measured on Node 20 with a full store: 336 with values of 10 bytes, 311 with 100, 247 with 1000. A limit on memory that
 * left it out would let small items take six times as much.
 */
export const OVERHEAD = 320;

/**
 * One entry of the cache. Its data are never written to: a changed value is a new array, so that a reply may send the
 * old one without a copy, however long the peer takes to read it.
 */
export class Item {
  /** The key, one character a byte. */
  readonly key: string;
  /** 32 bits for the client's own use. */
  readonly flags: number;
  data: Uint8Array;
  /** Changes with every change of the value. */
  cas = 0;
  /** When it is over, in milliseconds of the store's clock; `Infinity` for never. */
  expires: number;
  /** When it was stored or last fetched, in milliseconds of the store's clock. */
  time = 0;
  /** It has been fetched since it was stored. */
  fetched = false;
  /** Marked by `md … I`: still served, with a request to recache it. */
  stale = false;
  /** Somebody has been told to recache it. */
  won = false;
  /** The key was given in base64 by a meta command, and is given back so. */
  readonly binaryKey: boolean;
  /** Neighbours in the order of use, {@link Recency}. */
  older: Item | undefined;
  newer: Item | undefined;

  constructor(key: string, flags: number, expires: number, data: Uint8Array, binaryKey = false) {
    this.key = key;
    this.flags = flags;
    this.expires = expires;
    this.data = data;
    this.binaryKey = binaryKey;
  }

  /** In bytes, as the original counts. */
  get size(): number {
    return itemSize(this.key.length, this.flags, this.data.length);
  }
}
