const NOTHING = Buffer.alloc(0);

/** V8 keeps buffers of up to this size on its own heap, where they cost least. No smaller buffer is allocated. */
const SMALLEST = 64;

/**
 * The bytes of an unfinished frame, copied out of the chunks in which they arrived. Its memory grows with the bytes that have
 * arrived, never with a length that was announced. It grows by doubling, so that a frame that arrives byte by byte is copied
 * twice, not n times. Between two frames it holds no buffer.
 *
 * @example
 * ```ts
 * const carry = new Carry();
 * carry.add(Buffer.from('hel'), 0, 3, 100);
 * carry.add(Buffer.from('lo, world'), 0, 2, 100);
 * console.log(carry.takeText(5));
 * // → hello
 * ```
 */
export class Carry {
  #bytes: Buffer = NOTHING;
  #length = 0;

  /** How many bytes are held. */
  get length(): number {
    return this.#length;
  }

  /** The last byte held. */
  get last(): number | undefined {
    return this.#bytes[this.#length - 1];
  }

  /** What is held, in place: valid until the next call of `add` or `take`. */
  get view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Appends a copy of the bytes of `from` from `start` up to `end`. `most` is an upper bound of the bytes that can ever be held. */
  add(from: Buffer, start: number, end: number, most: number): void {
    const length = this.#length + end - start;
    if (length > this.#bytes.length) this.#grow(length, most);
    from.copy(this.#bytes, this.#length, start, end);
    this.#length = length;
  }

  /** Returns the first `length` bytes, as a Buffer that the caller may keep, and clears. */
  take(length: number): Buffer {
    const bytes = this.#bytes.length === length ? this.#bytes : copyOf(this.#bytes, 0, length);
    this.clear();
    return bytes;
  }

  /** Returns the first `length` bytes as text, and clears. */
  takeText(length: number): string {
    const text = this.#bytes.toString('utf8', 0, length);
    this.clear();
    return text;
  }

  /** Releases what is held. */
  clear(): void {
    this.#bytes = NOTHING;
    this.#length = 0;
  }

  #grow(length: number, most: number): void {
    const room = Math.max(length, Math.min(most, Math.max(SMALLEST, 2 * this.#bytes.length)));
    const bytes = Buffer.allocUnsafeSlow(room);
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}

/**
 * Copies `bytes[start, end)` into a Buffer that the caller may keep.
 *
 * A tiny copy has memory of its own, on V8's heap, where that is also the fastest. If it came from Node's pool, an application
 * that keeps a last reading of 20 bytes for each of ten thousand devices could keep a slab of 8 KiB for each. A larger copy
 * shares a slab with other copies, and so its `buffer`: for some hundred bytes, memory of their own takes three times as long
 * (0.5 µs for 256 bytes instead of 0.17).
 */
export function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const length = end - start;
  // `Buffer.prototype.slice` is a view; that of `Uint8Array` is a copy, and makes a Buffer of a Buffer.
  if (length <= SMALLEST) return Uint8Array.prototype.slice.call(bytes, start, end) as Buffer;
  const copy = allocate(length);
  bytes.copy(copy, 0, start, end);
  return copy;
}

/**
 * Frames of up to SMALL bytes come from Node's pool, whose slabs have 8 KiB, and 64 KiB in Node 24 and 26. Those of up to MEDIUM
 * come from our slabs. Larger ones have their own memory, or a part of that larger pool.
 */
const SMALL = 512;
const MEDIUM = 8 * 1024;
const SLAB = 64 * 1024;

let slab = Buffer.alloc(0);
let used = 0;

/**
 * Allocates memory for a frame, not zeroed. A frame that is kept may keep its slab in memory, which is at most 128 times as
 * large. To allocate a slab costs as much as a copy of 4 KiB, so a slab should hold many frames.
 */
export function allocate(length: number): Buffer {
  if (length <= SMALL || length > MEDIUM) return Buffer.allocUnsafe(length);
  if (used + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB);
    used = 0;
  }
  const start = used;
  used += length;
  return slab.subarray(start, used);
}

/** The same bytes as a Buffer, in place. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
