import type { Current } from './live.ts';

/** How many connections of one peer are open at a time. */
export interface PerAddressOptions {
  /** The limit; `undefined` for the default. */
  readonly connections: Current<number> | undefined;
  /** How many connections are served at a time, which the default needs; `undefined` for no limit. */
  readonly concurrency: Current<number> | undefined;
  /** How many connections are open. */
  readonly registry: { readonly open: number };
}

/** The share of the places that one peer may have for itself, and the share from which a limit holds for each peer. */
const ONE_PEER = 0.1;
const SCARCE = 0.75;
/** So many connections one peer may always have, unless the option says otherwise. */
const ALWAYS = 100;

/**
 * Counts the connections of each peer, and says whether one more may come in.
 *
 * The default is no fixed number, because many honest clients may share an address: an office, a mobile network, or a proxy that
 * sends no PROXY header. While fewer than three quarters of the places are taken, each peer may have as many as it asks for. What
 * is left is for peers that have fewer than a tenth of all places, or fewer than 100. So a few peers that hold on to all that they
 * get leave a quarter of the places to the others.
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

  /** Whether a peer has as many connections as it may have now. */
  isFull(key: string): boolean {
    return this.count(key) >= this.limit;
  }

  /** How many it may have now. */
  get limit(): number {
    const { connections, concurrency, registry } = this.#options;
    if (connections) return connections.value;
    if (concurrency === undefined || registry.open < SCARCE * concurrency.value) return Number.POSITIVE_INFINITY;
    return Math.max(ALWAYS, ONE_PEER * concurrency.value);
  }

  enter(key: string): void {
    this.#open.set(key, this.count(key) + 1);
  }

  leave(key: string): void {
    const left = this.count(key) - 1;
    if (left > 0) this.#open.set(key, left);
    else this.#open.delete(key);
  }
}
