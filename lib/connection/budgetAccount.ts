import type { SchedulerLike } from 'rxjs';
import type { EvictedError } from '../errors.ts';
import type { Input } from './input.ts';
import type { Holder, MemoryBudget } from './memoryBudget.ts';
import type { Output } from './output.ts';

/** What the budget may do to a connection. */
export interface BudgetAccountOwner {
  readonly clock: SchedulerLike;
  readonly bytesOut: number;
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
  readonly #input: Input;
  readonly #out: Output;
  readonly #owner: BudgetAccountOwner;
  /** Bytes that are held for the connection outside of it. */
  #elsewhere = 0;
  #isClosed = false;

  constructor(budget: MemoryBudget, input: Input, output: Output, owner: BudgetAccountOwner) {
    this.#budget = budget;
    this.#input = input;
    this.#out = output;
    this.#owner = owner;
  }

  get clock(): SchedulerLike {
    return this.#owner.clock;
  }

  get bytesOut(): number {
    return this.#owner.bytesOut;
  }

  /** Bytes that the peer has still to take. */
  get owed(): number {
    return this.#out.queue.unsent + this.#elsewhere;
  }

  get stalled(): boolean {
    return this.#out.queue.isCongested;
  }

  /** Whether most of it is part of a frame, whose rest would have to be read. */
  get stuck(): boolean {
    return this.#input.stuck && this.weight > 2 * this.output;
  }

  /** Reports what is held now, if that has changed. */
  update(): void {
    const output = this.#isClosed ? 0 : this.#out.queue.weight + this.#elsewhere;
    const weight = this.#isClosed ? 0 : this.#input.weight + output;
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
    this.#isClosed = true;
    this.update();
    this.#budget.forget(this);
  }

  goOn(): void {
    if (!this.#isClosed) this.#owner.memoryFreed();
  }

  abortWith(error: EvictedError): void {
    this.#owner.abortWith(error);
  }
}
