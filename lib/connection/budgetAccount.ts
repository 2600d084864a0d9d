import type { SchedulerLike } from 'rxjs';
import type { EvictedError } from '../errors.ts';
import type { Input } from './input.ts';
import type { Holder, MemoryBudget } from './memoryBudget.ts';
import type { Output } from './output.ts';

/** What the budget may do to a connection. */
export interface BudgetAccountOwner {
  readonly clock: SchedulerLike;
  readonly bytesOut: number;
  readonly input: Input;
  readonly output: Output;
  readonly isDetached: boolean;
  /** There is memory again. */
  memoryFreed(): void;
  abortWith(error: EvictedError): void;
}

/** What one connection holds, in bytes, as the server's memory budget counts it. */
export class BudgetAccount implements Holder {
  /** All that was reported to the budget. */
  weight = 0;
  /** The output in it. */
  output = 0;
  readonly #budget: MemoryBudget;
  readonly #owner: BudgetAccountOwner;
  /** Bytes that are held for the connection outside of it. */
  #elsewhere = 0;

  constructor(budget: MemoryBudget, owner: BudgetAccountOwner) {
    this.#budget = budget;
    this.#owner = owner;
  }

  get clock(): SchedulerLike {
    return this.#owner.clock;
  }

  get bytesOut(): number {
    return this.#owner.bytesOut;
  }

  /** Bytes that the peer has still to take. */
  get unsent(): number {
    return this.#owner.output.queue.unsent + this.#elsewhere;
  }

  get isWriteInFlight(): boolean {
    return this.#owner.output.queue.isWriteInFlight;
  }

  /** Whether most of it is part of a frame, whose rest would have to be read. */
  get holdsPartOfFrame(): boolean {
    return this.#owner.input.holdsPartOfFrame && this.weight > 2 * this.output;
  }

  /** Reports what is held now, if that has changed. */
  update(): void {
    const output = this.#owner.isDetached ? 0 : this.#owner.output.queue.weight + this.#elsewhere;
    const weight = this.#owner.isDetached ? 0 : this.#owner.input.weight + output;
    if (weight === this.weight && output === this.output) return;
    const before = this.weight;
    const more = output - this.output;
    this.weight = weight;
    this.output = output;
    this.#budget.change(this, before, more);
  }

  holdElsewhere(bytes: number): void {
    this.#elsewhere += bytes;
    this.update();
  }

  /** Waits until there is memory. @param isReady Whether there is something to work off then. */
  wait(isReady: boolean): void {
    this.#budget.wait(this, isReady);
  }

  /** The connection holds nothing any more. */
  close(): void {
    this.update();
    this.#budget.forget(this);
  }

  resume(): void {
    if (!this.#owner.isDetached) this.#owner.memoryFreed();
  }

  abortWith(error: EvictedError): void {
    this.#owner.abortWith(error);
  }
}
