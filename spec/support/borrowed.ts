import { asyncScheduler, type SchedulerLike, Subscription } from 'rxjs';
import { Bytes } from '../../lib/connection/bytes.ts';
import type { ByteSink, Follower, SourceControl } from '../../lib/connection/source.ts';
import { defaultClock, monotonic } from '../../lib/time/monotonic.ts';

const STILL: SchedulerLike = { now: () => 0, schedule: monotonic.schedule };

/** A control that the spec pauses and resumes by hand, and that records what operators report to it. */
export class ManualControl implements SourceControl {
  #isPaused = false;
  #pausedSince = 0;
  #pausedFor = 0;
  over = false;
  busy = false;
  frameTimeout = Number.POSITIVE_INFINITY;
  pace = { in: 0, out: 0, grace: Number.POSITIVE_INFINITY };
  lastActivity = 0;
  silentSince = 0;
  readonly borrowed = true;
  /** The bytes that operators report to hold. */
  buffered = 0;
  /** The number of operators that report to hold something that they could emit. */
  holders = 0;
  /** Virtual time, or a clock that stands still: the speed of the machine must not matter. */
  readonly clock = defaultClock() === monotonic ? STILL : asyncScheduler;
  /** How often the input yielded to other connections. */
  yields = 0;
  /** The errors that `closeAs` received. */
  readonly closedAs: Error[] = [];

  /** Operators that do not read in place. */
  readonly followers = new Set<Follower>();

  passed(): void {}

  mustStop(): boolean {
    return this.isPaused;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(pause: boolean) {
    if (pause === this.#isPaused) return;
    if (pause) this.#pausedSince = this.clock.now();
    else this.#pausedFor = this.frameClockStoppedFor;
    this.#isPaused = pause;
  }

  get isFrameClockStopped(): boolean {
    return this.#isPaused;
  }

  get frameClockStoppedFor(): number {
    return this.#pausedFor + (this.#isPaused ? this.clock.now() - this.#pausedSince : 0);
  }

  whenRested(): void {}

  reportBuffered(change: number, frames: number): void {
    this.buffered += change;
    this.holders += frames;
  }

  follow(follower: Follower): () => void {
    this.followers.add(follower);
    return () => void this.followers.delete(follower);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  retain(): () => void {
    return () => {};
  }

  yield(): void {
    this.yields++;
    this.isPaused = true;
  }

  inContext(work: () => void): void {
    work();
  }

  closeAs(error: Error): void {
    this.closedAs.push(error);
  }
}

/**
 * Borrowed bytes, as those of a connection, that the spec emits by hand. Every chunk is in the same buffer, which is overwritten
 * when the sink returns. Chunks that arrive while the input is paused wait, as they would in the kernel.
 */
export class Borrowed extends Bytes {
  readonly control = new ManualControl();
  /** Whether the subscriber has unsubscribed. */
  released = false;
  readonly #buffer = Buffer.alloc(64 * 1024);
  readonly #waiting: Uint8Array[] = [];
  #ended = false;
  #sink: ByteSink | undefined;

  borrow(sink: ByteSink): Subscription {
    this.#sink = sink;
    return new Subscription(() => {
      this.#sink = undefined;
      this.released = true;
    });
  }

  push(chunk: Uint8Array): void {
    this.#waiting.push(chunk);
    this.#flow();
  }

  end(): void {
    this.#ended = true;
    this.#flow();
  }

  fail(error: unknown): void {
    this.#sink?.error(error);
  }

  drain(): void {
    const follower = [...this.control.followers].find((one) => one.drain) ?? this.#sink;
    if (follower?.drain) follower.drain();
    else this.#sink?.complete();
  }

  /** Resumes the input once: it may be paused again before this returns. */
  open(): void {
    this.control.isPaused = false;
    for (const follower of this.control.followers) follower.resume();
    this.#sink?.resume?.();
    this.#flow();
  }

  /** Resumes the input as often as it is paused. */
  openAll(): void {
    while (this.control.isPaused) this.open();
  }

  #flow(): void {
    while (!this.control.isPaused) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) break;
      this.#buffer.set(chunk);
      this.#sink?.next(this.#buffer.subarray(0, chunk.length));
      this.#buffer.fill(0xaa);
    }
    if (this.#ended && !this.control.isPaused && this.#waiting.length === 0) this.#sink?.complete();
  }
}
