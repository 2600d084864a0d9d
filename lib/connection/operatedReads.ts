import { describe } from '../options.ts';
import { endOfCallback } from '../time/eventLoop.ts';
import { PausableReads, type ReadsContext } from './pausableReads.ts';
import { PauseCause } from './pauses.ts';
import type { Follower } from './source.ts';

/** What reads report of their operators. */
export interface OperatedReadsOwner {
  /** An operator reported what cannot be. */
  crashed(error: unknown): void;
  /** The number of bytes that are held of the input has changed. */
  weigh(): void;
  /** Memory is short: pauses the input. @param isReady Whether there is something to work off. */
  pauseForMemory(isReady: boolean): void;
}

/** What operators hold of the input of one connection. */
class Held {
  bytes = 0;
  /** How many operators hold something that they can emit without a further read. */
  holders = 0;
  /** A report was wrong: it fails the connection once, and nothing is counted from then on. */
  isMiscounted = false;
}

/** Reads whose bytes pass operators, which may hold some of them: of an unfinished frame, or what waits for the end of a pause. */
export abstract class OperatedReads extends PausableReads {
  /** Operators behind other operators, those furthest downstream first. */
  #followers: Set<Follower> | undefined;
  /** Made when an operator first holds something. */
  #held: Held | undefined;

  protected abstract readonly owner: OperatedReadsOwner;
  protected abstract override readonly context: ReadsContext & { readonly budget: { readonly isShort: boolean } };

  /** Bytes that operators hold. */
  protected get heldBytes(): number {
    return this.#held?.bytes ?? 0;
  }

  /** Operators that do not read in place. */
  protected get followers(): Iterable<Follower> {
    return this.#followers ?? [];
  }

  /** Whether operators hold something that they emit when no pause holds, also after the end of the input. */
  get holdsFrames(): boolean {
    return this.holders > 0;
  }

  protected get holders(): number {
    return this.#held?.holders ?? 0;
  }

  /** A follower has left. */
  protected abstract unfollowed(): void;

  /** Whether there is a sink: the input has not ended. */
  abstract readonly open: boolean;

  /** No operator holds frames any more, after the end of the input. */
  protected abstract framesPassed(): void;

  /** Adds an operator that is not the sink itself. @returns A function that removes it. */
  follow(follower: Follower): () => void {
    this.#followers ??= new Set();
    this.#followers.add(follower);
    return () => {
      this.#followers?.delete(follower);
      this.unfollowed();
    };
  }

  /** See `SourceControl.reportBuffered`. */
  reportBuffered(change: number, frames: number): void {
    this.#held ??= new Held();
    const held = this.#held;
    if (held.isMiscounted) return;
    const bytes = held.bytes + change;
    // What a decoder reports goes into the sum of all connections, which a NaN would spoil for good.
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      held.isMiscounted = true;
      held.bytes = held.holders = 0;
      const message = `Cannot count what is held of the input: ${describe(bytes)} is not a number of bytes, 0 or more`;
      return this.owner.crashed(new TypeError(message));
    }
    held.bytes = bytes;
    held.holders += frames;
    this.owner.weigh();
    // While memory is short, an operator that has something to emit is resumed for that.
    const waits = this.pausedBy(PauseCause.budget) || (!this.isPaused && this.context.budget.isShort);
    if (frames > 0 && waits) this.owner.pauseForMemory(true);
    // Later, because what is no longer held may not have been emitted yet.
    if (frames < 0 && held.holders === 0 && !this.open) endOfCallback(this.context.clock, () => this.framesPassed());
  }
}
