import type { PerAddressLimit } from '../options.ts';
import type { Current } from './live.ts';

/** How many connections of one peer are open at a time. */
export interface PerAddressOptions {
  /** The limit, beyond which connections are refused; or `share`, beyond which they give way. */
  readonly connections: Current<PerAddressLimit>;
  /** How many connections are served at a time, of which a peer has its share; `undefined` where there is no share. */
  readonly concurrency: Current<number> | undefined;
}

/** The share of the places from which those that are left are kept for peers that have less than their own share. */
const SCARCE = 0.75;
/** The share of one peer. */
const SHARE = 0.1;
/** So many connections are within the share of a peer in any case. */
const ALWAYS = 100;

/**
 * Counts the connections of each peer, and says whether one more may come in.
 *
 * The default is no fixed number, because many honest clients may share an address: an office, a mobile network, or a proxy that
 * sends no PROXY header. No connection is refused at once for it. But a peer that has more than its share, a tenth of all places and at least 100,
 * gives way to others: once three quarters of the places are taken, its further connections wait, and the places that are left are for
 * peers that have less. So a few peers that hold on to all that they get do not shut out the rest.
 */
export class PerAddress {
  readonly #options: PerAddressOptions;
  readonly #open = new Map<string, number>();

  constructor(options: PerAddressOptions) {
    this.#options = options;
  }

  /** How many peers have connections. */
  get peers(): number {
    return this.#open.size;
  }

  /** How many connections a peer has. */
  count(key: string): number {
    return this.#open.get(key) ?? 0;
  }

  /** Whether a peer has as many connections as it may have. */
  isFull(key: string): boolean {
    const { value } = this.#options.connections;
    return value !== 'share' && this.count(key) >= value;
  }

  /** Whether a peer has to give way to others now. @param busy How many places are taken. */
  yields(key: string, busy: number): boolean {
    const { connections, concurrency } = this.#options;
    if (connections.value !== 'share' || concurrency === undefined) return false;
    return busy >= SCARCE * concurrency.value && this.exceeds(key);
  }

  /** Whether a peer has more than its share, or than its limit. */
  exceeds(key: string): boolean {
    return this.count(key) > this.share;
  }

  /** The number of connections that a peer may have, or that are within its share. */
  get share(): number {
    const { connections, concurrency } = this.#options;
    if (connections.value !== 'share') return connections.value;
    if (concurrency === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(ALWAYS, Math.floor(SHARE * concurrency.value));
  }

  enter(key: string): void {
    this.#open.set(key, this.count(key) + 1);
  }

  /** @returns Whether the peer had more than its share until now, and has not any more. */
  leave(key: string): boolean {
    const left = this.count(key) - 1;
    if (left > 0) this.#open.set(key, left);
    else this.#open.delete(key);
    return left === this.share;
  }
}
