import { getHeapStatistics } from 'node:v8';
import { Hold } from '../connection/blame.ts';

/** One who holds memory, and can be told to take in no more. */
export interface Holder {
  hold(cause: number): void;
  release(cause: number): void;
}

/** Past the budget times this, new connections are refused. */
const HARD = 1.25;
/** Below the budget times this, those who were paused go on. */
const LOW = 0.75;
/** The fattest are looked for anew each time the sum has grown by this share of the budget. */
const STEP = 1 / 64;

/** A quarter of what V8's heap may be, in bytes: as much again is gone in objects before the garbage is collected. */
export const defaultBudget = (): number => Math.floor(getHeapStatistics().heap_size_limit / 4);

/**
 * The bytes that all connections of a server hold together: read and not worked off, written and not sent.
 *
 * When they are more than the budget the fattest pause first, as many of them as hold what is too much; when they have
 * fallen to three quarters of it, all go on. Past the hard line, a quarter above it, new connections are refused.
 *
 * Only those who hold something are known here, and they are sorted only while the sum grows past the budget.
 */
export class Budget {
  readonly #limit: number;
  readonly #heavy = new Map<Holder, number>();
  readonly #paused = new Set<Holder>();
  #total = 0;
  #lookAt: number;

  /** @param limit In bytes. */
  constructor(limit: number) {
    this.#limit = limit;
    this.#lookAt = limit;
  }

  /** What all hold together, in bytes. */
  get total(): number {
    return this.#total;
  }

  /** Whether that is more than it should be. */
  get passed(): boolean {
    return this.#total > this.#limit;
  }

  /** Whether it is so much that nobody else may come. */
  get exhausted(): boolean {
    return this.#total > this.#limit * HARD;
  }

  /** Whether somebody is among those who take in no more. */
  pauses(holder: Holder): boolean {
    return this.#paused.has(holder);
  }

  /** Somebody holds more, or less, than before. */
  change(holder: Holder, before: number, after: number): void {
    this.#total += after - before;
    if (after > 0) {
      this.#heavy.set(holder, after);
    } else {
      this.#heavy.delete(holder);
      if (this.#paused.delete(holder)) holder.release(Hold.budget);
    }
    if (this.#total > this.#lookAt) this.#pauseFattest();
    else if (this.#total < this.#limit * LOW && this.#lookAt > this.#limit) this.#resumeAll();
  }

  #pauseFattest(): void {
    this.#lookAt = this.#total + this.#limit * STEP;
    const byWeight = [...this.#heavy].sort(([, one], [, other]) => other - one);
    let excess = this.#total - this.#limit;
    for (const [holder, weight] of byWeight) {
      if (excess <= 0) break;
      excess -= weight;
      if (this.#paused.has(holder)) continue;
      this.#paused.add(holder);
      holder.hold(Hold.budget);
    }
  }

  #resumeAll(): void {
    this.#lookAt = this.#limit;
    // Whoever goes on may take in so much that others are paused anew: each is known as paused for as long as he is.
    for (const holder of [...this.#paused]) if (this.#paused.delete(holder)) holder.release(Hold.budget);
  }
}
