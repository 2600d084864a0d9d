/** The longest key, in bytes. */
export const MAX_KEY = 250;

/** What the original needs for an item beside its key and data, in bytes: its header, a cas id, a NUL and a CRLF. */
const HEADER = 48 + 8 + 1 + 2;

/** The size of an item as the original counts it, in bytes: `-I` limits it, and `STAT bytes` adds it up. */
export function itemSize(keyLength: number, flags: number, dataLength: number): number {
  return HEADER + keyLength + dataLength + (flags === 0 ? 0 : 4);
}

/**
 * What an item takes beyond that in this process, in bytes: its objects, its slot in the map, its key as a string. Measured on
 * Node 20 with a full store: 336 with values of 10 bytes, 311 with 100, 247 with 1000. The memory limit includes it: otherwise
 * small items could take six times the limit.
 */
export const OVERHEAD = 320;

/**
 * One entry of the cache. Its data are never modified: a changed value is a new array. So a reply may send the old one without a
 * copy, however long the peer takes to read it.
 */
export class Item {
  /** The key, with one character for each byte. */
  readonly key: string;
  /** 32 bits for the client's own use. */
  readonly flags: number;
  data: Uint8Array;
  /** Changes with every change of the value. */
  cas = 0;
  /** When it expires, in milliseconds of the store's clock; `Infinity` for never. */
  expires: number;
  /** When it was stored or last fetched, in milliseconds of the store's clock. */
  time = 0;
  /** Whether it has been fetched since it was stored. */
  fetched = false;
  /** Whether `md … I` has marked it: it is still served, with a request to recache it. */
  stale = false;
  /** Whether a client has been asked to recache it. */
  won = false;
  /** Whether a meta command gave the key in base64; replies then return it in base64. */
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

  /** Its size in bytes, as the original counts it. */
  get size(): number {
    return itemSize(this.key.length, this.flags, this.data.length);
  }
}
