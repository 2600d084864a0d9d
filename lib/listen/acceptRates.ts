import type { SchedulerLike } from 'rxjs';
import type { RefusalReason } from '../events.ts';
import type { Current } from './live.ts';
import { TokenBucket } from './tokenBucket.ts';

export interface AcceptRatesOptions {
  readonly clock: SchedulerLike;
  /** Connections a second, of all peers. */
  readonly perSecond: Current<number>;
  /** How many may come at once; by default as many as in a second. */
  readonly burst: number | undefined;
  /** Connections a second of one peer. */
  readonly perAddress: { readonly perSecond: Current<number>; readonly burst: number | undefined } | undefined;
  /** Milliseconds after the start until the whole rate is there. */
  readonly ramp: number;
}

/** As many as in a second: one at least, or none could ever come in, but none at a rate of 0. */
const usualBurst = (perSecond: number): number => (perSecond > 0 ? Math.max(1, perSecond) : 0);

/** How many peers are remembered: some megabytes at most. */
const PEERS = 16_384;

/**
 * Limits how many connections are accepted in a second: of all peers, and of each.
 *
 * The buckets of the peers are a list from which the one that was used least recently is dropped. It is bounded, like a sketch of
 * counters; but unlike there, peers never share a counter, so that no peer is refused for another one. What it costs is memory of
 * a peer after 16 384 others have come: it then has a full bucket again.
 */
export class AcceptRates {
  readonly #options: AcceptRatesOptions;
  /** When the port was opened. */
  #start = 0;
  #all: TokenBucket | undefined;
  /** By the name of the peer, the one that was used least recently first. */
  readonly #peers = new Map<string, TokenBucket>();

  constructor(options: AcceptRatesOptions) {
    this.#options = options;
  }

  /** The port is open. Until then a rate that is an Observable may have no value. @returns The tokens of all. */
  open(): TokenBucket {
    const { clock, ramp } = this.#options;
    const { burst } = this.#rate;
    this.#start = clock.now();
    this.#all = new TokenBucket(ramp > 0 ? Math.min(1, burst) : burst, 0);
    return this.#all;
  }

  /** How many peers are remembered. */
  get peers(): number {
    return this.#peers.size;
  }

  /** Takes a token of the peer and one of all, if there are both. @returns Otherwise, why not. */
  take(peer: string | undefined): RefusalReason | undefined {
    const all = this.#all ?? this.open();
    const now = this.#options.clock.now() - this.#start;
    const own = peer === undefined ? undefined : this.#bucketOf(peer, now);
    // The tokens of all are not for a peer that has none of its own, or it would take them from the others.
    if (own?.isEmpty) return 'rate-per-address';
    all.fill(this.#worked(now), this.#ramped(now));
    if (all.isEmpty) return 'rate';
    all.take();
    own?.take();
    return undefined;
  }

  /** Milliseconds until one more connection can be accepted; `undefined` for a reason that is not a rate. */
  wait(reason: RefusalReason, peer: string | undefined): number | undefined {
    if (reason === 'rate') return this.#all?.wait(this.#rate);
    const own = reason === 'rate-per-address' && peer !== undefined ? this.#peers.get(peer) : undefined;
    return own?.wait(this.#ratePerAddress);
  }

  get #rate() {
    const { perSecond, burst } = this.#options;
    return { perSecond: perSecond.value, burst: burst ?? usualBurst(perSecond.value) };
  }

  get #ratePerAddress() {
    const perSecond = this.#options.perAddress?.perSecond.value ?? Number.POSITIVE_INFINITY;
    return { perSecond, burst: this.#options.perAddress?.burst ?? usualBurst(perSecond) };
  }

  /** The rate of all, with the burst that it has so far. */
  #ramped(now: number) {
    const { ramp } = this.#options;
    const rate = this.#rate;
    if (now >= ramp || rate.perSecond === Number.POSITIVE_INFINITY) return rate;
    return { ...rate, burst: Math.min(rate.burst, Math.max(1, (rate.burst * now) / ramp)) };
  }

  /** The time for which the whole rate would give as many tokens as the rate that grows from zero has given. */
  #worked(now: number): number {
    const { ramp } = this.#options;
    return now >= ramp ? now - ramp / 2 : (now * now) / (2 * ramp);
  }

  #bucketOf(peer: string, now: number): TokenBucket | undefined {
    if (this.#options.perAddress === undefined) return undefined;
    const rate = this.#ratePerAddress;
    const known = this.#peers.get(peer);
    const bucket = known ?? new TokenBucket(rate.burst, now);
    if (known) this.#peers.delete(peer);
    else if (this.#peers.size >= PEERS) this.#forgetOne();
    this.#peers.set(peer, bucket);
    bucket.fill(now, rate);
    return bucket;
  }

  #forgetOne(): void {
    for (const peer of this.#peers.keys()) {
      this.#peers.delete(peer);
      return;
    }
  }
}
