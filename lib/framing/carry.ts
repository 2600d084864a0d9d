const NOTHING = Buffer.alloc(0);

/** V8 keeps buffers up to this size on its own heap, where they cost least. No smaller room is made. */
const SMALLEST = 64;

/**
 * The bytes of a frame whose end has not come, copied out of the chunks they came in. It grows with the bytes that are
 * there, never with what was announced, and by doubling: a frame that comes byte by byte is copied twice, not n times.
 * Between two frames it holds no buffer.
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

  /** What is held, in place: it holds until the next call of `add` or `take`. */
  get view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Copies `from[start, end)` behind what is held. `most` is how much can come to be held at all. */
  add(from: Buffer, start: number, end: number, most: number): void {
    const length = this.#length + end - start;
    if (length > this.#bytes.length) this.#grow(length, most);
    from.copy(this.#bytes, this.#length, start, end);
    this.#length = length;
  }

  /** Hands over the first `length` bytes, as a Buffer to keep, and forgets all. */
  take(length: number): Buffer {
    const bytes = this.#bytes.length === length ? this.#bytes : copyOf(this.#bytes, 0, length);
    this.clear();
    return bytes;
  }

  /** Hands over the first `length` bytes as text, and forgets all. */
  takeText(length: number): string {
    const text = this.#bytes.toString('utf8', 0, length);
    this.clear();
    return text;
  }

  /** Forgets all. */
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
 * Copies `bytes[start, end)` into a Buffer that is the caller's to keep.
 *
 * A tiny one has memory of its own, on V8's heap, where that is also the fastest: from Node's pool, a last reading of 20
 * bytes that somebody keeps for each of ten thousand devices could keep a slab of 8 KiB for each. A larger one shares a
 * slab with others, and so may share its `buffer`: for some hundred bytes, memory of their own takes three times as long
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

/** Frames up to this many bytes lie in Node's pool of 8 KiB, those up to the next in slabs of ours, larger ones alone. */
const SMALL = 512;
const MEDIUM = 8 * 1024;
const SLAB = 64 * 1024;

let slab = Buffer.alloc(0);
let used = 0;

/**
 * Memory for a frame, not zeroed. Whoever keeps one frame may keep its slab with it, which is at most 128 times as large; a
 * slab costs as much to make as a copy of 4 KiB does, so it should hold many.
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
