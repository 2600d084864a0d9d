import type { SchedulerLike } from 'rxjs';
import type { ExhaustedEvent, RecoveredEvent, RefusalReason } from '../events.ts';
import type { TransportSocket } from '../transport/transport.ts';
import { descriptorLimit } from './descriptorLimit.ts';
import { DescriptorShortage } from './descriptorShortage.ts';

/** What the checks look at besides the socket. */
export interface AdmissionContext {
  readonly clock: SchedulerLike;
  /** The memory that all connections hold together. */
  readonly budget: { readonly isPastHardLimit: boolean };
  /** How many connections are open. */
  readonly registry: { readonly open: number };
}

/** A check at accept. @returns Why the connection is refused, or `undefined` if this check lets it in. */
type AdmissionCheck = (socket: TransportSocket) => RefusalReason | undefined;

/**
 * Decides at accept whether a connection comes in: before the waiting room, and before any operator sees the connection.
 *
 * The checks run in the order of the list. The first one that refuses decides, and those after it do not run. A new check is
 * one more function in the list. A check that counts open connections is notified of each close by `closed`.
 */
export class Admission {
  readonly #context: AdmissionContext;
  readonly #shortage: DescriptorShortage;

  readonly #checks: readonly AdmissionCheck[] = [
    // First, because it counts the descriptor of every connection, and because a connection that a later check refuses may
    // linger: until then it keeps its descriptor.
    ({ descriptor }) => {
      if (descriptor === undefined) return undefined;
      return this.#shortage.refuses(descriptor, this.#context.registry.open) ? 'exhausted' : undefined;
    },
    () => (this.#context.budget.isPastHardLimit ? 'budget' : undefined),
  ];

  /**
   * @param emit Called at the begin and at the end of a shortage of descriptors.
   * @param limit How many descriptors the process may have.
   */
  constructor(
    context: AdmissionContext,
    emit: (event: ExhaustedEvent | RecoveredEvent) => void,
    limit = descriptorLimit(),
  ) {
    this.#context = context;
    this.#shortage = new DescriptorShortage(limit, context.clock, emit);
  }

  /** Why the connection of an accepted socket is refused; `undefined` if it comes in. The registry counts it already. */
  refusal(socket: TransportSocket): RefusalReason | undefined {
    for (const check of this.#checks) {
      const reason = check(socket);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /** A connection has closed, and with it its descriptor. The registry does not count it any more. */
  closed(): void {
    this.#shortage.closed(this.#context.registry.open);
  }
}
