import type { Limits, OvercommittedEvent } from '../events.ts';
import { descriptorLimit } from './descriptorLimit.ts';
import { RESERVE } from './descriptorShortage.ts';
import type { Current } from './live.ts';

/** The descriptors that a Node process has open before its first connection: about 25. */
const IN_USE = 32;

/** How many connections are served, may wait, and may linger after a refusal, if the user does not say. */
const USUAL = 1000;

/** The share of the descriptors that is for connections that linger. */
const LINGERING = 1 / 8;

/** How many connections there may be at a time. */
export interface Places {
  readonly concurrency: number;
  readonly waiting: number;
  /** Refused connections whose sockets are not closed yet. */
  readonly lingering: number;
}

/**
 * The defaults of `concurrency` and `waiting.max`: 1000 each. A process that may have fewer descriptors gets fewer places, so that
 * its limits hold before its descriptors are out.
 */
export function defaultLimits(descriptors = descriptorLimit()): Places {
  const free = Math.max(0, descriptors - RESERVE - IN_USE);
  const lingering = Math.min(USUAL, Math.floor(LINGERING * free));
  const half = Math.max(1, Math.floor((free - lingering) / 2));
  return { concurrency: Math.min(USUAL, half), waiting: Math.min(USUAL, half), lingering };
}

/** The limits of one port, as they are now. */
export class CurrentLimits {
  /** As users see them: what is printed of it, or stored as JSON, are the numbers. */
  readonly view: Limits;
  parking: { readonly isParked: boolean } | undefined;
  /** Whether the port was closed. */
  isClosed = false;
  /** How many descriptors the process may have. */
  readonly descriptors: number;
  #isOvercommitted = false;

  /** @param descriptors How many the process may have. */
  constructor(concurrency: Current<number> | undefined, waiting: Current<number>, descriptors = descriptorLimit()) {
    const isParked = () => this.parking?.isParked === true;
    const isClosed = () => this.isClosed;
    this.descriptors = descriptors;
    this.view = {
      get concurrency() {
        return concurrency?.value;
      },
      get waiting() {
        return waiting.value;
      },
      get isParked() {
        return isParked();
      },
      get isClosed() {
        return isClosed();
      },
    };
  }

  /** @returns An event if these limits allow more connections than there are descriptors, and did not at the last call. */
  overcommitted(): OvercommittedEvent | undefined {
    const { concurrency = 0, waiting } = this.view;
    const limit = this.descriptors;
    const was = this.#isOvercommitted;
    this.#isOvercommitted = concurrency > 0 && concurrency + waiting > limit - RESERVE - IN_USE;
    return this.#isOvercommitted && !was ? { type: 'overcommitted', concurrency, waiting, limit } : undefined;
  }
}
