import type { SchedulerLike } from 'rxjs';
import { Hoarding, type HoardingOwner, SUSPICIOUS } from './hoarding.ts';
import type { Input } from './input.ts';
import type { Output } from './output.ts';
import type { Pace } from './pace.ts';
import { FRAME_CLOCK_STOPS, PauseCause } from './pauses.ts';
import type { Follower, SourceControl } from './source.ts';
import type { Usage } from './usage.ts';
import type { Watchdog } from './watchdog.ts';

/** What a control reads from its connection, and calls on it. */
export interface ControlOwner {
  readonly clock: SchedulerLike;
  readonly pace: Pace;
  readonly input: Input;
  readonly output: Output;
  readonly watchdog: Watchdog;
  readonly usage: Usage;
  readonly isDraining: boolean;
  readonly over: boolean;
  readonly isDetached: boolean;
  readonly busy: boolean;
  whenRested(callback: () => void): void;
  inContext(work: () => void): void;
  closeAs(error: unknown): void;
  retain(): () => void;
  pauseForMemory(isReady: boolean): void;
  /** The handler keeps frames. @param bytes About how many bytes of input they are. */
  hoards(frames: number, bytes: number): void;
}

/** What operators on the bytes of a connection may see of it and do to it. */
export class Control implements SourceControl, HoardingOwner {
  readonly #connection: ControlOwner;
  // Kept here, because they are asked after each frame.
  readonly #input: Input;
  readonly #output: Output;
  #frames = 0;
  #hoarding: Hoarding | undefined;

  constructor(connection: ControlOwner) {
    this.#connection = connection;
    this.#input = connection.input;
    this.#output = connection.output;
  }

  get clock(): SchedulerLike {
    return this.#connection.clock;
  }

  get isPaused(): boolean {
    return this.#input.isPaused;
  }

  get over(): boolean {
    return this.#connection.over;
  }

  get borrowed(): boolean {
    return this.#input.borrowed;
  }

  get frameTimeout(): number {
    return this.#connection.watchdog.deadlines.frame;
  }

  get pace(): Pace {
    return this.#connection.pace;
  }

  get lastActivity(): number {
    return this.#connection.watchdog.lastActivity;
  }

  get silentSince(): number {
    return this.#connection.watchdog.silentSince;
  }

  get busy(): boolean {
    return this.#connection.busy;
  }

  get isFrameClockStopped(): boolean {
    return this.#input.pausedBy(FRAME_CLOCK_STOPS);
  }

  get frameClockStoppedFor(): number {
    const { peer, handler } = this.#input.paused;
    return peer + handler;
  }

  mustStop(): boolean {
    if (this.#input.isPaused) return true;
    if (!this.#output.blocked || this.#connection.over) return false;
    this.#connection.pauseForMemory(true);
    return true;
  }

  whenRested(callback: () => void): void {
    this.#connection.whenRested(callback);
  }

  reportBuffered(change: number, frames: number): void {
    this.#input.reportBuffered(change, frames);
  }

  follow(follower: Follower): () => void {
    return this.#input.follow(follower);
  }

  passed(frames: number): void {
    this.#frames += frames;
    const unanswered = this.#frames - this.#output.replies;
    if (unanswered <= SUSPICIOUS) return;
    this.#hoarding ??= new Hoarding(this);
    this.#hoarding.look(unanswered);
  }

  get frames(): number {
    return this.#frames;
  }

  get replies(): number {
    return this.#output.replies;
  }

  get late(): number {
    return this.#output.lateReplies;
  }

  get isUnmeasured(): boolean {
    const { usage, over, isDraining } = this.#connection;
    return over || isDraining || usage.isUnmeasured || usage.hasSeenWork;
  }

  pauseInput(): void {
    this.#input.pause(PauseCause.operator);
  }

  resumeInput(): void {
    this.resume(PauseCause.operator);
  }

  hoards(frames: number): void {
    this.#connection.hoards(frames, Math.round((frames * this.#input.bytes) / this.#frames));
  }

  pause(cause: number): void {
    // An `exchange`, a loop or a relay: it takes no more than it can work on.
    if (cause === PauseCause.handler) this.#connection.usage.isUnmeasured = true;
    if (!this.#connection.over) this.#input.pause(cause);
  }

  resume(cause: number): void {
    if (!this.#connection.isDetached) this.#input.resume(cause);
  }

  retain(): () => void {
    return this.#connection.retain();
  }

  yield(): void {
    this.#input.yield();
  }

  inContext(work: () => void): void {
    this.#connection.inContext(work);
  }

  closeAs(error: unknown): void {
    this.#connection.closeAs(error);
  }
}
