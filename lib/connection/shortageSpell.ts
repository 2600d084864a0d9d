import type { SchedulerLike } from 'rxjs';
import { EvictedError } from '../errors.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

/** What can be evicted: a connection. */
export interface Evictable {
  /** Bytes that it holds, input and output. */
  readonly weight: number;
  /** Bytes that its peer has still to take. */
  readonly unsent: number;
  /** Bytes that its peer has taken so far. */
  readonly bytesOut: number;
  /** Whether it waits for its peer to take them. */
  readonly isWriteInFlight: boolean;
  /** Whether its input is part of a frame, whose rest would have to be read. */
  readonly holdsPartOfFrame: boolean;
  /** Aborts it. */
  abortWith(error: EvictedError): void;
}

/** The memory that is short. */
export interface ScarceMemory {
  /** What may be held, in bytes. */
  readonly limit: number;
  /** What is held, in bytes. */
  readonly total: number;
  /** Whether it is short. */
  readonly isShort: boolean;
  /** Whether so much is held that connections are watched for less time. */
  readonly isPastHardLimit: boolean;
  /** What holds it. */
  readonly holders: Iterable<Evictable>;
}

/** A shortage is checked this often, in milliseconds, or more often where a connection is watched for less. */
const CHECK_EVERY = 250;
/** For so many milliseconds a connection is watched before it is evicted, past the hard line and before it. */
const WATCH_EXHAUSTED = 1000;
const WATCH = 3000;
/** In a spell that time is halved so many times at most. */
const MAX_HALVINGS = 9;
/** The shortages of a spell last for so many milliseconds together. */
const MAX_SPELL = 10_000;
/** A spell is over when there has been room for so many milliseconds, and no connection waits to work. */
const MAX_GAP = 1000;

const NEVER = Number.POSITIVE_INFINITY;

/**
 * A spell of shortages: how long memory has been short, and which connections are evicted for it.
 *
 * ```text
 * state      memory is short                     there is room               1 s of room, and none waits
 * NO SPELL   → SHORTAGE: a spell begins
 * SHORTAGE                                       → GAP if it, or one of
 *                                                  the spell, has evicted,
 *                                                  otherwise → NO SPELL
 * GAP        → SHORTAGE of this spell, or of a                               → NO SPELL
 *              new one after 10 s of shortage
 * ```
 *
 * In a shortage a connection is watched first: for 3 s, or for 1 s past the hard line, and half as long after each shortage of
 * the spell that evicted. From then on it is evicted at a check if its peer, at the pace at which it has taken output in this
 * spell, would need it beyond 10 s of shortage.
 */
export class ShortageSpell implements DeadlineOwner {
  readonly #memory: ScarceMemory;
  #clock: SchedulerLike;
  #timer: DeadlineTimer;
  #checkAt = NEVER;
  /** Milliseconds from the last check to the next one. */
  #interval = CHECK_EVERY;
  /** Milliseconds for which memory has been short in this spell, without those that the process itself lost. */
  #time = 0;
  /** When the last shortage ended. */
  #endedAt = Number.NEGATIVE_INFINITY;
  /** Whether this shortage, or the last one, evicted a connection. */
  #evicted = false;
  /** How often the time of watching has been halved in this spell. */
  #halvings = 0;
  /** Since when a connection has been watched in this spell, and what its peer had taken then. */
  readonly #watched = new Map<Evictable, { readonly time: number; readonly taken: number }>();

  constructor(memory: ScarceMemory, clock: SchedulerLike) {
    this.#memory = memory;
    this.#clock = clock;
    this.#timer = new DeadlineTimer(clock, this);
  }

  /**
   * A shortage begins: of this spell, or of a new one.
   *
   * @param waiting Whether a connection still waits to work since the last shortage.
   */
  begin(clock: SchedulerLike, waiting: boolean): void {
    const isSame = clock === this.#clock && (waiting || clock.now() - this.#endedAt < MAX_GAP);
    if (isSame && (this.#evicted || this.#halvings > 0) && this.#time < MAX_SPELL) {
      if (this.#evicted) this.#halvings = Math.min(this.#halvings + 1, MAX_HALVINGS);
      // Watch from the start, because the first check may come only when the time of watching is over.
      for (const holder of this.#memory.holders) this.#watch(holder);
    } else {
      this.#halvings = this.#time = 0;
      this.#watched.clear();
    }
    this.#evicted = false;
    if (clock !== this.#clock) this.#timer = new DeadlineTimer(clock, this);
    this.#clock = clock;
    this.#checkLater();
  }

  /** There is room. */
  end(): void {
    this.#endedAt = this.#clock.now();
    this.#time += Math.max(0, Math.min(this.#endedAt - this.#checkAt + this.#interval, this.#interval));
    this.#checkAt = NEVER;
  }

  /** A connection holds nothing any more. */
  forget(holder: Evictable): void {
    this.#watched.delete(holder);
  }

  due(): number {
    return this.#checkAt;
  }

  expire(): void {
    this.#time += this.#interval;
    this.#checkLater();
    this.#evict();
  }

  /** Time is counted in checks, so that time which the process itself lost is not held against a peer. */
  #checkLater(): void {
    this.#interval = Math.min(CHECK_EVERY, this.#watchTime);
    this.#checkAt = this.#clock.now() + this.#interval;
    this.#timer.set();
  }

  /** For how many milliseconds a connection is watched before it is evicted. */
  get #watchTime(): number {
    return (this.#memory.isPastHardLimit ? WATCH_EXHAUSTED : WATCH) / 2 ** this.#halvings;
  }

  #evict(): void {
    const memory = this.#memory;
    const watchTime = this.#watchTime;
    const late: { readonly holder: Evictable; readonly time: number }[] = [];
    for (const holder of memory.holders) {
      const time = this.#timeToRelease(holder, watchTime);
      if (time !== undefined && this.#time + time > MAX_SPELL) late.push({ holder, time });
    }
    late.sort((one, other) => other.time - one.time || other.holder.weight - one.holder.weight);
    for (const { holder } of late) {
      if (!memory.isShort) return;
      // A connection that was closed because of an eviction before it holds nothing any more.
      if (holder.weight === 0) continue;
      this.#evicted = true;
      holder.abortWith(new EvictedError(holder.weight, memory.total, memory.limit));
    }
  }

  #watch(holder: Evictable): void {
    if (!this.#watched.has(holder)) this.#watched.set(holder, { time: this.#time, taken: holder.bytesOut });
  }

  /** Milliseconds until its peer has taken what it holds; `undefined` while it has not been watched for long enough. */
  #timeToRelease(holder: Evictable, watchTime: number): number | undefined {
    const since = this.#watched.get(holder);
    if (since === undefined) {
      this.#watch(holder);
      return undefined;
    }
    const time = this.#time - since.time;
    if (time < watchTime) return undefined;
    if (holder.holdsPartOfFrame) return NEVER;
    // A connection that waits for its handler is not judged by a pace. It is evicted when the spell has lasted too long.
    return holder.isWriteInFlight ? (holder.unsent * time) / Math.max(holder.bytesOut - since.taken, 0.5) : 0;
  }
}
