import type { TransportSocket } from '../transport/transport.ts';
import { Credit, type Pace, unseen } from './pace.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** A peer that has taken nothing for so many milliseconds may never take anything. */
const STILL = 1000;

/** What bounds how slowly a peer may read. */
export interface ProgressLimits {
  /** Milliseconds in which the peer may take nothing of what is written. */
  readonly stall: number;
  readonly pace: Pace;
}

/**
 * The progress of pending output: since when the peer has taken nothing, and whether it takes too little.
 *
 * It exists from the first write that the network does not take at once; most connections never have one. Moments are
 * milliseconds of the connection's clock.
 */
export class OutputProgress {
  readonly #socket: TransportSocket;
  readonly #limits: ProgressLimits;
  readonly #credit: Credit;
  /** When the peer last took something; `undefined` while nothing is pending. */
  #movedAt: number | undefined;
  /** What had been sent then, in bytes. */
  #bytesOut = 0;
  /** The same when it became pending, and when that was. */
  #firstBytesOut = 0;
  #beganAt = 0;

  constructor(socket: TransportSocket, limits: ProgressLimits) {
    this.#socket = socket;
    this.#limits = limits;
    this.#credit = new Credit(limits.pace.out, this.patience);
  }

  /** Milliseconds in which the peer may take nothing. */
  get stall(): number {
    return this.#limits.stall;
  }

  /** Milliseconds for which the peer may read too slowly: while it may take nothing, it may also take little. */
  get patience(): number {
    return Math.max(this.#limits.pace.grace, this.#limits.stall);
  }

  get isRunning(): boolean {
    return this.#movedAt !== undefined;
  }

  /** When the peer last took something, or may have taken something without our seeing it. */
  get mayHaveMovedAt(): number {
    return this.#movedAt === undefined ? Number.NEGATIVE_INFINITY : this.#movedAt + this.#unseen;
  }

  /** When the peer has taken nothing for too long. */
  get stalledAt(): number {
    if (this.#movedAt === undefined) return NEVER;
    return this.#movedAt + Math.max(this.#limits.stall, this.#unseen);
  }

  /** When the peer has taken too little for too long. */
  get tooSlowAt(): number {
    return this.#movedAt === undefined ? NEVER : this.#credit.until;
  }

  /** The network did not take all of a write. */
  begin(now: number, bytesOut: number): void {
    this.#movedAt = this.#beganAt = now;
    this.#bytesOut = this.#firstBytesOut = bytesOut;
    this.#credit.begin(now, this.#unseen);
  }

  /** Whether more has been sent than at the last look. A large write is one piece to us, but may move all the while. */
  hasMoved(bytesOut: number): boolean {
    return this.#movedAt !== undefined && bytesOut > this.#bytesOut;
  }

  moved(now: number, bytesOut: number): void {
    this.#credit.earn(now, bytesOut - this.#bytesOut);
    this.#movedAt = now;
    this.#bytesOut = bytesOut;
  }

  /**
   * Milliseconds that the peer may take for so many pending bytes, at its rate so far. Until it has taken something, as long as
   * they have been pending, and after a second of that for ever.
   *
   * @param bytesOut Bytes that have been sent by now.
   */
  timeFor(bytes: number, now: number, bytesOut: number): number {
    const time = now - this.#beganAt;
    const taken = bytesOut - this.#firstBytesOut;
    if (taken > 0) return (bytes * time) / taken;
    return time < STILL ? Math.max(1, time) : NEVER;
  }

  /** Nothing is pending any more. */
  end(): void {
    this.#movedAt = undefined;
  }

  /** The process itself was stopped for so many milliseconds. */
  forgive(now: number, lost: number): void {
    this.#credit.forgive(now, lost);
  }

  /** For how long the peer may take what the kernel holds without our seeing it, in milliseconds. */
  get #unseen(): number {
    return unseen(this.#bytesOut, this.#limits.pace.out, this.#socket.roomStep ?? 0);
  }
}
