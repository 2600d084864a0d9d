const FIRST = 1024;

/** Bytes that come in pieces of any length, in one buffer. It grows by doubling, so single bytes cost no more than one large piece. */
export class Gathered {
  #buffer: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** All of them; valid until more is added. */
  get bytes(): Buffer {
    return (this.#buffer ?? Buffer.alloc(0)).subarray(0, this.#length);
  }

  add(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (this.#buffer === undefined || length > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST, length, 2 * this.#length));
      larger.set(this.bytes);
      this.#buffer = larger;
    }
    this.#buffer.set(piece, this.#length);
    this.#length = length;
  }

  /** Drops the first bytes. */
  drop(count: number): void {
    this.#buffer = this.#buffer?.subarray(count);
    this.#length -= count;
  }
}
