import type { Limits, OvercommittedEvent } from '../events.ts';
import { descriptorLimit } from './descriptorLimit.ts';
import { RESERVE } from './descriptorShortage.ts';
import type { Current } from './live.ts';

/** The descriptors that a Node process has open before it serves anybody, and the port: about 25. */
const IN_USE = 32;

/** How many connections are served and may wait if the user does not say. */
const USUAL = 1000;

/**
 * The defaults of `concurrency` and `waiting.max`: 1000 each. A process that may have fewer descriptors gets fewer places, so that
 * its limits hold before its descriptors are out: half of what is left for each.
 */
export function defaultLimits(descriptors = descriptorLimit()): {
  readonly concurrency: number;
  readonly waiting: number;
} {
  const half = Math.max(1, Math.floor((descriptors - RESERVE - IN_USE) / 2));
  return { concurrency: Math.min(USUAL, half), waiting: Math.min(USUAL, half) };
}

/** The limits of one port, as they are now. */
export class CurrentLimits implements Limits {
  readonly #concurrency: Current<number> | undefined;
  readonly #waiting: Current<number>;
  readonly #descriptors: number;
  #isOvercommitted = false;
  parking: { readonly isParked: boolean } | undefined;

  /** @param descriptors How many the process may have. */
  constructor(concurrency: Current<number> | undefined, waiting: Current<number>, descriptors = descriptorLimit()) {
    this.#concurrency = concurrency;
    this.#waiting = waiting;
    this.#descriptors = descriptors;
  }

  get concurrency(): number | undefined {
    return this.#concurrency?.value;
  }

  get waiting(): number {
    return this.#waiting.value;
  }

  get isParked(): boolean {
    return this.parking?.isParked === true;
  }

  /** @returns An event if these limits allow more connections than there are descriptors, and did not at the last call. */
  overcommitted(): OvercommittedEvent | undefined {
    const { concurrency = 0, waiting } = this;
    const limit = this.#descriptors;
    const was = this.#isOvercommitted;
    this.#isOvercommitted = concurrency > 0 && concurrency + waiting > limit - RESERVE;
    return this.#isOvercommitted && !was ? { type: 'overcommitted', concurrency, waiting, limit } : undefined;
  }
}
