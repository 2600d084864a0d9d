import type { SchedulerLike } from 'rxjs';
import type { Pace } from './pace.ts';

/**
 * Takes bytes in place. A chunk is **borrowed**: it lies in a buffer that the next read overwrites, so it holds only
 * during the call of `next`. Whoever keeps bytes longer copies them.
 */
export interface ByteSink {
  /**
   * What is written to the connection does not come of what is read from it. So a peer that takes nothing is read all the
   * same: it may be waiting for just that.
   */
  readonly uncoupled?: true | undefined;
  next(chunk: Uint8Array): void;
  error(error: unknown): void;
  complete(): void;
  /** The input may flow again: go on with what was held back while {@link SourceControl.isPaused} was set. */
  resume?(): void;
  /** The server drains: complete at the next frame boundary, which may be now. Without it the input completes now. */
  drain?(): void;
}

/**
 * The connection behind some bytes, as far as an operator on them needs it.
 */
export interface SourceControl {
  /** Whether the input is held back. */
  readonly isPaused: boolean;
  /** Whether we have ended or broken off the connection: nothing of it is to be handed on any more. */
  readonly over: boolean;
  /** Milliseconds a begun frame may take, if the operator sets no limit of its own. `Infinity` for no limit. */
  readonly frameTimeout: number;
  /** How slowly a frame that has begun may come. */
  readonly pace: Pace;
  /** The connection's clock. */
  readonly clock: SchedulerLike;
  /** When a byte last went in or out, or our own work last ended, in milliseconds of that clock. */
  readonly lastActivity: number;
  /** The same, or later while what the network holds may be going out unseen. */
  readonly silentSince: number;
  /** Whether we are at work on what the peer has sent, or hold its input back: its silence is not idleness then. */
  readonly busy: boolean;
  /** Calls back, once, when that is over. */
  whenRested(look: () => void): void;
  /** Whether the input is held back for a cause that stops the clock of a frame: any but the budget. */
  readonly detained: boolean;
  /** For how long it has been so far, in milliseconds. */
  readonly detainedFor: number;
  /** Whether the chunks of a {@link ByteSink} are borrowed, or the receiver's to keep. */
  readonly borrowed: boolean;
  /** A framing loop asks after each frame whether to stop there. If so it keeps the rest until `resume`. */
  stop(): boolean;
  /**
   * Says that so many bytes more, or fewer, are carried from one call to the next: of a frame that has not ended, or held
   * back. A change and not a sum, because several operators may carry some.
   *
   * @param frames By how many the number of operators has changed that hold frames back.
   */
  reportBuffered(change: number, frames: number): void;
  /**
   * Adds a framing operator that does not read in place, as others stand in front of it. It is resumed and drained as a
   * {@link ByteSink} is. Of several, the one that was added first decides first where the input may end: it is the one
   * furthest downstream.
   * @returns A function that takes it out again.
   */
  follow(follower: Follower): () => void;
  /** Holds the input back, for a cause (see `Hold`), until it is released. */
  pause(cause: number): void;
  resume(cause: number): void;
  /** Keeps the connection from ending by itself when its input is over. @returns A function that lets it. */
  retain(): () => void;
  /** Gives way to the other connections: the input is held, and flows again after one turn of the event loop. */
  yield(): void;
  /** Tells the connection what is wrong with its input, so that its close reason is true whatever the handler replies. */
  closeAs(error: Error): void;
}

/** A framing operator behind other operators. */
export type Follower = Required<Pick<ByteSink, 'resume'>> & Pick<ByteSink, 'drain'>;
