/** How slow a peer may be. */
export interface Pace {
  /** Bytes per second that it must send while a frame has begun; 0 for no minimum. */
  readonly in: number;
  /** Bytes per second that it must take while output is pending; 0 for no minimum. */
  readonly out: number;
  /** Milliseconds for which it may be slower. */
  readonly grace: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/**
 * The longest credit that bytes can earn, in milliseconds. Without it, a peer that took a gigabyte quickly could then take single
 * bytes for weeks. On the loopback interface Linux reports room after 1.5 MB: a peer that reads 4.2 KB/s needs six minutes for
 * that.
 */
const MOST = 360_000;

/**
 * A minimum rate, as a credit of time that a peer uses up.
 *
 * ```text
 * credit   grace ╲        each byte earns 1/rate seconds, up to six minutes
 *                 ╲╱╲
 *                    ╲╱╲
 * 0  ───────────────────╲──▶ time: the peer is too slow
 * ```
 *
 * Rates are in bytes per second, points in time and durations in milliseconds of one clock. With a rate of 0 the credit never
 * ends.
 */
export class Credit {
  readonly #rate: number;
  readonly #grace: number;
  /** When it ends. */
  until = NEVER;

  constructor(rate: number, grace: number) {
    this.#rate = rate;
    this.#grace = grace;
  }

  /** Begins with the grace, plus time that is granted in advance. */
  begin(now: number, earned = 0): void {
    this.until = this.#rate === 0 ? NEVER : now + this.#grace + earned;
  }

  /** This many bytes have moved. */
  earn(now: number, bytes: number): void {
    if (this.until === NEVER) return;
    this.until = Math.min(this.until + (bytes * 1000) / this.#rate, now + this.#grace + MOST);
  }

  /** The process was suspended, or too busy to measure, for this long: that is not the peer's fault. */
  forgive(now: number, lost: number): void {
    this.until = Math.max(this.until + lost, now + this.#grace);
  }
}

/**
 * How long a peer that reads at a given rate may do so without our seeing it, in milliseconds.
 *
 * A kernel reports room only when a share of its send buffer is free, and it does not report how much it holds. That is at most
 * all that was ever sent on the connection.
 *
 * @param sent Bytes that the kernel has taken so far.
 * @param rate Bytes per second; 0 for no minimum, and then there is no allowance.
 * @param step That share.
 */
export const unseen = (sent: number, rate: number, step: number): number =>
  rate === 0 ? 0 : Math.min((sent * step * 1000) / rate, MOST);
