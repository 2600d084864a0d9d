/** What a paused socket has received all the same, and must not pass on before it is resumed. */
export class HeldInput {
  /** The input has ended after these chunks. */
  hasEnded = false;
  /** A callback will pass them on. */
  isScheduled = false;
  readonly #chunks: Uint8Array[] = [];
  #first = 0;

  get length(): number {
    return this.#chunks.length - this.#first;
  }

  /** @param chunk Is copied, because it may be overwritten. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(Uint8Array.prototype.slice.call(chunk));
  }

  shift(): Uint8Array {
    return this.#chunks[this.#first++] as Uint8Array;
  }

  /** @returns Whether the caller is to schedule the callback. */
  schedules(): boolean {
    if (this.isScheduled) return false;
    this.isScheduled = true;
    return true;
  }
}
