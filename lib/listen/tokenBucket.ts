/** A rate and how much of it can be saved. */
export interface Rate {
  readonly perSecond: number;
  /** Tokens that are saved while nothing comes, at most. */
  readonly burst: number;
}

/** Sums of fractions of tokens are a little more or less than whole. */
const ROUNDING = 1e-9;

/**
 * A token bucket: a connection takes a token, tokens come at a rate, and a number of them is saved at most. The time is that of the
 * caller.
 */
export class TokenBucket {
  #tokens: number;
  #at: number;

  /** @param now In milliseconds of working time, as all times here. */
  constructor(tokens: number, now: number) {
    this.#tokens = tokens;
    this.#at = now;
  }

  /** Adds what has come since the last call. */
  fill(now: number, { perSecond, burst }: Rate): void {
    // Nothing is taken away if the clock goes back. At an infinite rate tokens come in no time, too.
    const come = perSecond === Number.POSITIVE_INFINITY ? perSecond : (Math.max(0, now - this.#at) * perSecond) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + come);
    this.#at = now;
  }

  get isEmpty(): boolean {
    return this.#tokens < 1 - ROUNDING;
  }

  take(): void {
    this.#tokens--;
  }

  /** Milliseconds until there is a token. */
  wait({ perSecond }: Rate): number {
    return Math.max(0, ((1 - this.#tokens) * 1000) / perSecond);
  }
}
