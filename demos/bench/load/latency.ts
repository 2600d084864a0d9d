/** Latencies from here on are counted in steps of a millisecond; those below, of a microsecond. */
const second = 1_000_000;
/** Those of more than a minute count as a minute. */
const minute = 60 * second;

/** Latencies, counted in steps. */
export class Latencies {
  readonly #counts = new Uint32Array(slotOf(minute) + 1);
  #total = 0;

  /** Adds one latency, in milliseconds. */
  add(milliseconds: number): void {
    const slot = slotOf(Math.min(minute, Math.max(0, Math.round(milliseconds * 1000))));
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.#total++;
  }

  /** The latency that a `share` (0 to 1) of all does not exceed, in microseconds; 0 if there are none. */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let slot = 0; slot < this.#counts.length; slot++) {
      seen += this.#counts[slot] ?? 0;
      if (seen >= rank) return microsecondsOf(slot);
    }
    return 0;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }
}

function slotOf(microseconds: number): number {
  return microseconds <= second ? microseconds : second + Math.ceil((microseconds - second) / 1000);
}

function microsecondsOf(slot: number): number {
  return slot <= second ? slot : second + (slot - second) * 1000;
}
