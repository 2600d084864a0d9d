import type { SchedulerLike } from 'rxjs';
import type { Pace } from './pace.ts';

/**
 * Receives bytes in place. A chunk is **borrowed**: it is in a buffer that the next read overwrites, so it is valid only during
 * the call of `next`. Bytes that are kept longer must be copied.
 */
export interface ByteSink {
  /**
   * The output of the connection does not derive from this input. So the input is read even while the peer does not read: the
   * peer may be waiting for exactly that.
   */
  readonly uncoupled?: true | undefined;
  /** A chunk was read. It is borrowed. */
  next(chunk: Uint8Array): void;
  /** The connection was aborted: `error` says how. No other method is called any more. */
  error(error: unknown): void;
  /** The input is over, by the peer's FIN or by a drain. No other method is called any more. */
  complete(): void;
  /** The input is no longer paused: continue with what was held back meanwhile. */
  resume?(): void;
  /**
   * The connection drains: complete at the next frame boundary, which may be now. Without this method, the input completes now.
   */
  drain?(): void;
}

/** The connection behind an Observable, as far as operators need it. */
export interface SourceControl {
  /** Whether the input is paused. */
  readonly isPaused: boolean;
  /** Whether we have ended or aborted the connection: nothing more of its input is emitted. */
  readonly over: boolean;
  /** Milliseconds from the first byte of a frame to its end, if the operator sets no limit itself. `Infinity` for no limit. */
  readonly frameTimeout: number;
  /** How slowly the bytes of a frame may arrive. */
  readonly pace: Pace;
  /** The connection's clock. */
  readonly clock: SchedulerLike;
  /** When a byte was last received or sent, or work on this side last ended, in milliseconds of that clock. */
  readonly lastActivity: number;
  /** The same; or later, while bytes that the network buffers may still be leaving, which cannot be seen. */
  readonly silentSince: number;
  /** Whether the handler works on input, or this side pauses the input: the silence of the peer is not idleness then. */
  readonly busy: boolean;
  /** Calls back once when {@link busy} is over. */
  whenRested(look: () => void): void;
  /** Whether the input is paused for a cause that stops the clock of a frame: any but the budget. */
  readonly isFrameClockStopped: boolean;
  /** For how long it has been, in milliseconds: the sum so far. */
  readonly frameClockStoppedFor: number;
  /** Whether the chunks that a {@link ByteSink} receives are borrowed. If not, the receiver may keep them. */
  readonly borrowed: boolean;
  /** Whether a framing loop has to stop here: it asks after each frame, and keeps the rest of the chunk until `resume`. */
  mustStop(): boolean;
  /** A framing operator has emitted so many frames of a chunk. */
  passed(frames: number): void;
  /**
   * Reports that an operator keeps more bytes, or fewer, from one call to the next: of an unfinished frame, or held back by a
   * pause. It is a change and not a sum, because several operators may keep bytes.
   *
   * @param frames How many more, or fewer, operators hold back something that they could emit without a further read.
   */
  reportBuffered(change: number, frames: number): void;
  /**
   * Adds an operator that does not read in place, because another operator is in front of it. It is resumed and drained as a
   * {@link ByteSink} is. Of several with a `drain`, the one that was added first decides where the input ends: it is the one
   * furthest downstream.
   * @returns A function that removes it.
   */
  follow(follower: Follower): () => void;
  /** Pauses the input for a cause (see `PauseCause`) until it is resumed for the same cause. */
  pause(cause: number): void;
  resume(cause: number): void;
  /** Prevents the connection from ending by itself when its input has ended. @returns A function that releases it. */
  retain(): () => void;
  /** Yields to the other connections: pauses the input for one event-loop iteration. */
  yield(): void;
  /** Runs work in the async context of the connection: a timer may have that of whatever armed it. */
  inContext(work: () => void): void;
  /** Sets the close reason to what is wrong with the input, so that it stands whatever the handler replies. */
  closeAs(error: Error): void;
}

/** An operator that does not read in place, and is resumed and drained by the connection: see {@link SourceControl.follow}. */
export type Follower = Required<Pick<ByteSink, 'resume'>> & Partial<Pick<ByteSink, 'drain' | 'error' | 'complete'>>;
