import { allocate, copyOf } from './carry.ts';

/** Smaller frames, and those larger than WINDOW, are copied one by one: see `copyOf` for what a kept frame keeps in memory. */
const SMALLEST = 512;
/** Bytes of a chunk that are copied at once, at most. */
const WINDOW = 8 * 1024;

/**
 * Cuts frames out of a chunk, as Buffers that the caller may keep. The first frame copies the rest of the chunk, and the next
 * frames are views of that copy: copying four frames of 1 KiB together takes less time than copying one of them alone.
 */
export class Cutter {
  #chunk: Buffer | undefined;
  #copy: Buffer | undefined;
  /** Where in the chunk the copy begins. */
  #from = 0;

  /** Returns a copy of `bytes[start, end)`, or a view of one. */
  cut(bytes: Buffer, start: number, end: number): Buffer {
    const length = end - start;
    if (length <= SMALLEST || length > WINDOW) return copyOf(bytes, start, end);
    let copy = this.#copy;
    if (copy === undefined || this.#chunk !== bytes || end > this.#from + copy.length) {
      this.#chunk = bytes;
      if (bytes.length <= WINDOW) {
        this.#from = 0;
        copy = allocate(bytes.length);
        copy.set(bytes);
      } else {
        this.#from = start;
        copy = copyOf(bytes, start, Math.min(bytes.length, start + WINDOW));
      }
      this.#copy = copy;
    }
    return copy.subarray(start - this.#from, end - this.#from);
  }

  /** The chunk is consumed. The next one may be in the same memory. */
  forget(): void {
    this.#chunk = undefined;
    this.#copy = undefined;
  }
}
