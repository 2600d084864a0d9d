/** Longer views are not cached: they are rare, and each cached one costs a few hundred bytes. */
const LONGEST = 4096;

/** Views of the first bytes of a buffer, cached by length. Most reads are short, and a lookup is cheaper than a new view. */
export class Prefixes {
  readonly #whole: Buffer;
  readonly #cache: Buffer[] = [];

  constructor(whole: Buffer) {
    this.#whole = whole;
  }

  of(length: number): Buffer {
    if (length > LONGEST) return length === this.#whole.length ? this.#whole : this.#whole.subarray(0, length);
    const cached = this.#cache[length];
    if (cached !== undefined) return cached;
    const made = this.#whole.subarray(0, length);
    this.#cache[length] = made;
    return made;
  }
}
