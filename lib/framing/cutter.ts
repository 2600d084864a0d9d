import { allocate, copyOf } from './carry.ts';

/** Smaller frames, and larger ones, are copied one by one: see `copyOf` for what keeps what in memory. */
const SMALLEST = 512;
/** As much of a chunk is copied at once, at most. */
const WINDOW = 8 * 1024;

/**
 * Cuts frames out of a chunk, as Buffers to keep. The first one copies all that is left of the chunk, and the next ones are
 * views of that copy: to copy four frames of a kibibyte together takes less time than to copy one.
 */
export class Cutter {
  #chunk: Buffer | undefined;
  #copy: Buffer | undefined;
  /** Where in the chunk the copy begins. */
  #from = 0;

  /** Copies `bytes[start, end)`. */
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

  /** The chunk is worked off. The next one may lie where it lay. */
  forget(): void {
    this.#chunk = undefined;
    this.#copy = undefined;
  }
}
