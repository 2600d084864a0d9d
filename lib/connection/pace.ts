/** How slow a peer may be. */
export interface Pace {
  /** Bytes a second that it sends while a frame has begun; 0 for no minimum. */
  readonly in: number;
  /** Bytes a second that it takes while output is pending; 0 for no minimum. */
  readonly out: number;
  /** Milliseconds for which it may be slower. */
  readonly grace: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/**
 * The longest credit that bytes can earn, in milliseconds. Otherwise a peer that has taken a gigabyte quickly could then take one
 * byte now and then for weeks. On the loopback Linux reports room after 1.5 MB: six minutes are what a reader of 4.2 KB/s needs
 * for that.
 */
const MOST = 360_000;

/**
 * A minimum rate: when the credit of a peer is over.
 *
 * ```text
 * credit   grace ╲        each byte earns 1/rate of a second, up to six minutes
 *                 ╲╱╲
 *                    ╲╱╲
 * 0  ───────────────────╲──▶ time: the peer is too slow
 * ```
 *
 * Rates are bytes a second, moments and times are milliseconds of one clock. A rate of 0 is no minimum: the credit is never over.
 */
export class Credit {
  readonly #rate: number;
  readonly #grace: number;
  /** When it is over. */
  until = NEVER;

  constructor(rate: number, grace: number) {
    this.#rate = rate;
    this.#grace = grace;
  }

  /** Begins with the grace, and with the time that is earned in advance. */
  begin(now: number, earned = 0): void {
    this.until = this.#rate === 0 ? NEVER : now + this.#grace + earned;
  }

  /** So many bytes have moved. */
  earn(now: number, bytes: number): void {
    if (this.until === NEVER) return;
    this.until = Math.min(this.until + (bytes * 1000) / this.#rate, now + this.#grace + MOST);
  }

  /** The process was stopped, or too busy to look, for so long: that is not the peer's fault. */
  forgive(now: number, lost: number): void {
    this.until = Math.max(this.until + lost, now + this.#grace);
  }
}

/**
 * For how long a peer that reads at a rate may leave us without a sign of it, in milliseconds.
 *
 * A kernel reports room only when a share of its send buffer is free, and how much it holds cannot be asked. At most it is all
 * that was ever sent on the connection.
 *
 * @param sent Bytes that the kernel has taken so far.
 * @param rate Bytes a second; 0 for no minimum, and then nothing is allowed for.
 * @param step That share.
 */
export const unseen = (sent: number, rate: number, step: number): number =>
  rate === 0 ? 0 : Math.min((sent * step * 1000) / rate, MOST);
