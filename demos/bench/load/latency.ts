/** Latencies counted in steps of a microsecond, up to a second; what takes longer is counted as a second. */
export class Latencies {
  readonly #counts = new Uint32Array(1_000_001);
  #total = 0;

  /** Adds one latency, in milliseconds. */
  add(milliseconds: number): void {
    const slot = Math.min(1_000_000, Math.max(0, Math.round(milliseconds * 1000)));
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.#total++;
  }

  /** The latency that `share` of all (0 to 1) did not exceed, in microseconds; 0 when there are none. */
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
