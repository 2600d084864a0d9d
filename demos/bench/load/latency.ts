/** Latencies, counted in steps of a microsecond. Those of more than a second count as a second. */
export class Latencies {
  readonly #counts = new Uint32Array(1_000_001);
  #total = 0;

  /** Adds one latency, in milliseconds. */
  add(milliseconds: number): void {
    const slot = Math.min(1_000_000, Math.max(0, Math.round(milliseconds * 1000)));
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.#total++;
  }

  /** The latency that a `share` (0 to 1) of all does not exceed, in microseconds; 0 if there are none. */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let slot = 0; slot < this.#counts.length; slot++) {
      seen += this.#counts[slot] ?? 0;
      if (seen >= rank) return slot;
    }
    return 0;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }
}
