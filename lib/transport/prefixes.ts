/** Longer ones are seldom, and each that is kept costs some hundred bytes. */
const LONGEST = 4096;

/** Views of the first bytes of a buffer, by length: most are short, and making one costs more than looking it up. */
export class Prefixes {
  readonly #whole: Buffer;
  readonly #known: Buffer[] = [];

  constructor(whole: Buffer) {
    this.#whole = whole;
  }

  of(length: number): Buffer {
    if (length > LONGEST) return length === this.#whole.length ? this.#whole : this.#whole.subarray(0, length);
    const known = this.#known[length];
    if (known !== undefined) return known;
    const made = this.#whole.subarray(0, length);
    this.#known[length] = made;
    return made;
  }
}
