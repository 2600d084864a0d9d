import type { SchedulerLike } from 'rxjs';
import type { Counters, ExhaustedEvent, FailedEvent, RecoveredEvent, RefusalReason } from '../events.ts';
import { type Check, checkArgument, describe, text } from '../options.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import { AcceptRates, type AcceptRatesOptions } from './acceptRates.ts';
import { addressKeys, PREFIX, type Prefix } from './addressKey.ts';
import { descriptorLimit } from './descriptorLimit.ts';
import { DescriptorShortage } from './descriptorShortage.ts';
import type { Current } from './live.ts';
import { PerAddress, type PerAddressOptions } from './perAddress.ts';

/** Decides on the user's part whether a connection comes in. @returns `true`, or why not. */
export type Admit = (peer: Address, counters: Counters) => true | string;

/** Whether a peer is on a list. */
export type OnList = (peer: Address) => boolean;

/** What the checks look at besides the socket. */
export interface AdmissionContext {
  readonly clock: SchedulerLike;
  /** The memory that all connections hold together. */
  readonly budget: { readonly isPastHardLimit: boolean };
  /** How many connections are open. */
  readonly registry: { readonly open: number; readonly counters?: Counters };
}

/** The checks that are not always there. */
export interface AdmissionRules {
  readonly allow?: Current<OnList> | undefined;
  readonly deny?: Current<OnList> | undefined;
  readonly perAddress?: PerAddressOptions | undefined;
  readonly prefix?: Prefix | undefined;
  readonly accepts?: Omit<AcceptRatesOptions, 'clock'> | undefined;
  readonly admit?: Admit | undefined;
}

/** A check of a peer. @returns Why the connection is refused, or `undefined` if this check lets it in. */
type PeerCheck = (peer: Address, key: string | undefined) => RefusalReason | undefined;

/** What counts for a peer. */
interface Counted {
  /** The name of the peer that it is counted for. */
  addressKey: string | undefined;
}

/**
 * Decides whether a connection comes in: before the waiting room, and before any operator sees the connection.
 *
 * The checks run in the order of the lists. The first one that refuses decides, and those after it do not run. A new check is one
 * more function in a list. Those of the peer look at the client, also behind a proxy: so they run when its PROXY header was read,
 * and at accept on a port without one. A check takes constant time and no memory of its own, because a flood passes through it.
 */
export class Admission {
  readonly #context: AdmissionContext;
  readonly #shortage: DescriptorShortage;
  readonly #perAddress: PerAddress | undefined;
  readonly #rates: AcceptRates | undefined;
  readonly #peerChecks: readonly PeerCheck[];
  /** The name under which a peer is counted, if peers are. */
  readonly keyOf: (peer: Address) => string | undefined;

  readonly #checks: readonly ((socket: TransportSocket) => RefusalReason | undefined)[] = [
    // First, because it counts the descriptor of every connection, and because a connection that a later check refuses may
    // linger: until then it keeps its descriptor.
    ({ descriptor }) => {
      if (descriptor === undefined) return undefined;
      return this.#shortage.refuses(descriptor, this.#context.registry.open) ? 'exhausted' : undefined;
    },
    () => (this.#context.budget.isPastHardLimit ? 'budget' : undefined),
  ];

  /**
   * @param emit Called at the begin and at the end of a shortage of descriptors, and when the function of the user fails.
   * @param limit How many descriptors the process may have.
   */
  constructor(
    context: AdmissionContext,
    emit: (event: ExhaustedEvent | RecoveredEvent | FailedEvent) => void,
    rules: AdmissionRules = {},
    limit = descriptorLimit(),
  ) {
    const { clock } = context;
    this.#context = context;
    this.#shortage = new DescriptorShortage(limit, clock, emit);
    const { allow, deny, perAddress, prefix = PREFIX, accepts, admit } = rules;
    const checks: PeerCheck[] = [];
    if (deny) checks.push((peer) => (deny.value(peer) ? 'denied' : undefined));
    if (allow) checks.push((peer) => (allow.value(peer) ? undefined : 'denied'));
    if (perAddress) {
      const counted = new PerAddress(perAddress);
      this.#perAddress = counted;
      // Before the rates: a peer that has too many takes none of the tokens.
      checks.push((_peer, key) => (key !== undefined && counted.isFull(key) ? 'per-address' : undefined));
    }
    if (accepts) {
      const rates = new AcceptRates({ ...accepts, clock });
      this.#rates = rates;
      checks.push((_peer, key) => rates.take(key));
    }
    // Last, because only what passes the others is worth a call of the user's code.
    if (admit) checks.push((peer) => this.#ask(admit, peer, emit));
    this.#peerChecks = checks;
    this.keyOf = perAddress || accepts?.perAddress ? addressKeys(prefix) : () => undefined;
  }

  /** The port is open: the rates begin. */
  opened(): void {
    this.#rates?.open();
  }

  /** Why an accepted socket is refused, whatever its peer; `undefined` if it comes in. The registry counts it already. */
  refusal(socket: TransportSocket): RefusalReason | undefined {
    for (const check of this.#checks) {
      const reason = check(socket);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /** Why a peer is refused; `undefined` if its connection comes in. @param key Its name, by `keyOf`. */
  refusalOf(peer: Address, key: string | undefined): RefusalReason | undefined {
    for (const check of this.#peerChecks) {
      const reason = check(peer, key);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /** A connection comes in, and counts for its peer until it is closed. */
  enter(connection: Counted, key: string | undefined): void {
    if (key === undefined || this.#perAddress === undefined) return;
    connection.addressKey = key;
    this.#perAddress.enter(key);
  }

  /**
   * A connection has closed, and with it its descriptor. The registry does not count it any more.
   *
   * @returns Whether its peer had more than its share until now, and has not any more.
   */
  closed(connection?: Counted): boolean {
    this.#shortage.closed(this.#context.registry.open);
    if (connection?.addressKey === undefined || this.#perAddress === undefined) return false;
    const hadMore = this.#perAddress.leave(connection.addressKey);
    connection.addressKey = undefined;
    return hadMore;
  }

  /** Whether a connection that has come in gives way to those of other peers now. @param busy How many places are taken. */
  yields({ addressKey }: Counted, busy: number): boolean {
    return addressKey !== undefined && this.#perAddress?.yields(addressKey, busy) === true;
  }

  /** Whether the peer of a connection that has come in has more than its share, with that one. */
  exceedsShare({ addressKey }: Counted): boolean {
    return addressKey !== undefined && this.#perAddress?.exceeds(addressKey) === true;
  }

  /** How many connections a peer may have, or are its share; `undefined` if it has fewer, and was not refused for that. */
  limit(peer: Address): number | undefined {
    const key = this.keyOf(peer);
    const { share } = this.#perAddress ?? {};
    return key !== undefined && share !== undefined && (this.#perAddress?.count(key) ?? 0) >= share ? share : undefined;
  }

  /** Milliseconds after which a peer that is refused for a rate may come again. */
  wait(reason: RefusalReason, peer: Address): number | undefined {
    return this.#rates?.wait(reason, this.keyOf(peer));
  }

  #ask(admit: Admit, peer: Address, emit: (event: FailedEvent) => void): RefusalReason | undefined {
    try {
      const verdict: unknown = admit(peer, this.#context.registry.counters as Counters);
      if (verdict === true) return undefined;
      checkArgument('admit a connection', 'what admit returns', verdict, verdictCheck);
      return verdict as RefusalReason;
    } catch (error) {
      emit({ type: 'failed', peer, callback: 'admit', error });
      return 'denied';
    }
  }
}

const verdictCheck: Check = (value) =>
  text(value) === undefined ? undefined : `must be true, or a string that is not empty, not ${describe(value)}`;
