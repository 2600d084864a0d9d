import { asyncScheduler, type SchedulerLike, Subscription } from 'rxjs';
import { Bytes } from '../../lib/connection/bytes.ts';
import type { ByteSink, Follower, SourceControl } from '../../lib/connection/source.ts';
import { defaultClock, monotonic } from '../../lib/time/monotonic.ts';

const STILL: SchedulerLike = { now: () => 0, schedule: monotonic.schedule };

/** A gate to be opened and closed by hand, and what it was told. */
export class HandGate implements SourceControl {
  #held = false;
  #heldSince = 0;
  #heldFor = 0;
  over = false;
  busy = false;
  frameTimeout = Number.POSITIVE_INFINITY;
  pace = { in: 0, out: 0, grace: Number.POSITIVE_INFINITY };
  lastActivity = 0;
  silentSince = 0;
  readonly borrowed = true;
  /** What framing operators say they carry, in bytes. */
  carried = 0;
  /** Virtual time, or none at all: how fast this machine is decides nothing here. */
  readonly clock = defaultClock() === monotonic ? STILL : asyncScheduler;
  /** How often the input gave way to others. */
  yields = 0;
  readonly blamed: Error[] = [];

  /** Framing operators behind other operators. */
  readonly followers = new Set<Follower>();

  stop(): boolean {
    return this.isPaused;
  }

  get isPaused(): boolean {
    return this.#held;
  }

  set isPaused(held: boolean) {
    if (held === this.#held) return;
    if (held) this.#heldSince = this.clock.now();
    else this.#heldFor = this.detainedFor;
    this.#held = held;
  }

  get detained(): boolean {
    return this.#held;
  }

  get detainedFor(): number {
    return this.#heldFor + (this.#held ? this.clock.now() - this.#heldSince : 0);
  }

  whenRested(): void {}

  reportBuffered(change: number): void {
    this.carried += change;
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

  closeAs(error: Error): void {
    this.blamed.push(error);
  }
}

/**
 * Bytes as a connection lends them, driven by hand: every chunk lies in one and the same buffer, which is poisoned when
 * the sink has returned. What arrives while the gate is closed waits, as it would in the kernel.
 */
export class Borrowed extends Bytes {
  readonly control = new HandGate();
  /** Whether the subscriber has gone, or been told the end. */
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

  /** Opens the gate, once: it may be closed again before this returns. */
  open(): void {
    this.control.isPaused = false;
    for (const follower of this.control.followers) follower.resume();
    this.#sink?.resume?.();
    this.#flow();
  }

  /** Opens the gate as often as it is closed. */
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
