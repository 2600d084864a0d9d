import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { SchedulerLike } from 'rxjs';
import { EvictedError } from '../errors.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { monotonic } from '../time/monotonic.ts';
import { TurnQuota } from '../time/turnQuota.ts';

/** What holds memory, as the budget sees it: a connection. */
export interface Holder {
  readonly clock: SchedulerLike;
  /** Bytes that it holds, input and output. */
  readonly weight: number;
  /** Bytes of those that are output. */
  readonly output: number;
  /** Bytes that its peer has still to take. */
  readonly owed: number;
  /** Bytes that its peer has taken so far. */
  readonly bytesOut: number;
  /** Whether it waits for its peer to take them. */
  readonly stalled: boolean;
  /** Whether its input is part of a frame, whose rest would have to be read. */
  readonly stuck: boolean;
  /** Goes on where it has waited for the budget. */
  goOn(): void;
  /** Breaks off. */
  abortWith(error: EvictedError): void;
}

/** Past the budget times this, new connections are refused. */
const HARD = 1.25;
/** Below the budget times this there is room again. */
const LOW = 0.75;
/** While output holds less than this share of the budget, what has been read is worked off. */
const OUTPUT = 1 / 8;

/** A shortage is looked at this often, in milliseconds, or more often where a connection is watched for less. */
const LOOK = 250;
/** For so many milliseconds a connection is watched before it is evicted, past the hard line and before it. */
const WATCHED = 1000;
const WATCHED_BEFORE = 3000;
/** In a spell that time is halved so many times at most. */
const HALVED = 9;
/** The shortages of a spell last for so many milliseconds together. */
const LONGEST = 10_000;
/** A spell is over when there has been room for so many milliseconds, and none waits to work. */
const GAP = 1000;

/** No default is below this, in bytes: it is what one connection may hold unsent. */
const LEAST = 1024 * 1024;

const NEVER = Number.POSITIVE_INFINITY;

/** What a process says of its memory, in bytes. Other engines than Node may not say it. */
type Memory = Partial<Pick<NodeJS.Process, 'constrainedMemory' | 'availableMemory'>>;

/**
 * A quarter of the memory that there is, in bytes: of V8's heap limit, and where the process is constrained (a cgroup), of that
 * constraint and of what is left of it now. As much again is gone in objects before the garbage is collected.
 */
export function defaultBudget(memory: Memory = process): number {
  const heap = getHeapStatistics().heap_size_limit;
  const constrained = memory.constrainedMemory?.() ?? 0;
  // Without a constraint Node says 0, or nothing, or what the kernel has for "unlimited".
  const isConstrained = constrained > 0 && constrained < totalmem();
  const most = isConstrained ? Math.min(heap, constrained, memory.availableMemory?.() ?? constrained) : heap;
  return Math.max(LEAST, Math.floor(most / 4));
}

/**
 * The bytes that all connections of a server hold together: read and not worked off, written and not sent.
 *
 * ```text
 * 125 %  hard line   new connections are refused, and evictions begin after 1 s
 * 100 %  budget      a shortage begins: nothing more is read, no work is begun; evictions begin after 3 s
 *  75 %  room        it is over: connections go on, one after the other
 * ```
 *
 * **In a shortage** no connection reads more, and none begins work: no frame is handed on, no request begun, no generator
 * asked. So at most the budget is held, an eighth of it, one reply for each request in progress, and one read for each
 * connection that sends meanwhile. While output holds less than that eighth, what has been read already is worked off.
 *
 * **A spell of shortages lasts 10 s at most, and the last one's watch.** A connection is evicted when, at the pace at which its
 * peer has taken output in this spell, it would hold memory beyond that. First those that hold part of a frame, because its
 * rest is not read; then those that would take longest. As many as it takes for there to be room.
 *
 * **After an eviction, a shortage that begins within 1 s, or before all have gone on, belongs to the same spell.** Each one
 * that evicts halves the time of watching for the next. Otherwise peers that never read, one after the other, would each hold
 * up all that wait for 3 s. A spell is over when memory was short for 10 s in it, so that honest peers are not judged in haste
 * for as long as memory is short.
 *
 * It costs a connection nothing while there is room: it looks at {@link passed} when it reads, and at {@link blocked} after
 * each frame. Only a connection that was stopped by that is known as waiting.
 */
export class MemoryBudget implements DeadlineOwner {
  readonly #limit: number;
  readonly #holders = new Set<Holder>();
  #total = 0;
  #output = 0;
  #passed = false;
  /** Those that wait and have something to work off, in the order in which they came. */
  readonly #ready = new Set<Holder>();
  /** Those that wait to read on. */
  readonly #resting = new Set<Holder>();
  #serving = false;
  #timer: DeadlineTimer | undefined;
  /** That of the holder which began the shortage. */
  #clock: SchedulerLike = monotonic;
  #lookAt = NEVER;
  /** Milliseconds until the next look, as of the last one. */
  #pause = LOOK;
  /** How long memory has been short in this spell, in milliseconds, without those that the process itself lost. */
  #time = 0;
  #ended = Number.NEGATIVE_INFINITY;
  /** Whether this shortage, or the last one, evicted a connection. */
  #evicted = false;
  /** How often the time for which a connection is watched has been halved in this spell. */
  #halved = 0;
  /** Since when a holder has been watched in this spell, and what its peer had taken then. */
  readonly #watched = new Map<Holder, { readonly time: number; readonly taken: number }>();

  /** @param limit In bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** What all hold together, in bytes. */
  get total(): number {
    return this.#total;
  }

  /** Whether memory is short: from when more is held than the budget until there is room. Nothing more is read. */
  get passed(): boolean {
    return this.#passed;
  }

  /** Whether memory is short because of output. No work is begun that makes more of it. */
  get blocked(): boolean {
    return this.#passed && this.#output > this.#limit * OUTPUT;
  }

  /** Whether so much is held that new connections are refused. */
  get exhausted(): boolean {
    return this.#total > this.#limit * HARD;
  }

  /**
   * A holder holds more, or less, than before.
   *
   * @param before What it held, in bytes.
   * @param output By how many bytes its output has grown.
   */
  change(holder: Holder, before: number, output: number): void {
    this.#total += holder.weight - before;
    this.#output += output;
    if (holder.weight === 0) {
      this.#holders.delete(holder);
      this.#watched.delete(holder);
    } else if (before === 0) {
      this.#holders.add(holder);
    }
    if (!this.#passed) {
      if (this.#total > this.#limit) this.#begin(holder.clock);
    } else if (this.#total < this.#limit * LOW) {
      this.#end();
    } else {
      this.#serve();
    }
  }

  /**
   * A holder waits until it is told to go on.
   *
   * @param ready Whether it has something to work off, and needs not read for it.
   */
  wait(holder: Holder, ready: boolean): void {
    if (ready) {
      this.#resting.delete(holder);
      this.#ready.add(holder);
      this.#serve();
    } else if (!this.#ready.has(holder)) {
      this.#resting.add(holder);
    }
  }

  /** A holder is gone, and waits no more. */
  forget(holder: Holder): void {
    this.#ready.delete(holder);
    this.#resting.delete(holder);
  }

  due(): number {
    return this.#lookAt;
  }

  expire(): void {
    this.#time += this.#pause;
    this.#lookLater();
    this.#evict();
  }

  #begin(clock: SchedulerLike): void {
    this.#passed = true;
    const now = clock.now();
    const follows = this.#ready.size > 0 || now - this.#ended < GAP;
    if (follows && (this.#evicted || this.#halved > 0) && clock === this.#clock && this.#time < LONGEST) {
      if (this.#evicted) this.#halved = Math.min(this.#halved + 1, HALVED);
      // From the start, as a look that only begins to watch would take as long as the watching.
      for (const holder of this.#holders) this.#watch(holder);
    } else {
      this.#halved = this.#time = 0;
      this.#watched.clear();
    }
    this.#evicted = false;
    if (this.#timer === undefined || clock !== this.#clock) this.#timer = new DeadlineTimer(clock, this);
    this.#clock = clock;
    this.#lookLater();
  }

  #end(): void {
    this.#passed = false;
    this.#ended = this.#clock.now();
    this.#time += Math.max(0, Math.min(this.#ended - this.#lookAt + this.#pause, this.#pause));
    this.#lookAt = NEVER;
    this.#serve();
  }

  /** Counted in looks, time that the process itself lost is not held against a peer. */
  #lookLater(): void {
    this.#pause = Math.min(LOOK, this.#enough);
    this.#lookAt = this.#clock.now() + this.#pause;
    this.#timer?.set();
  }

  /** For how many milliseconds a connection is watched before it is evicted. */
  get #enough(): number {
    return (this.exhausted ? WATCHED : WATCHED_BEFORE) / 2 ** this.#halved;
  }

  /** Lets go on what may, in turns of the event loop of its own: memory becomes free in the middle of something. */
  #serve(): void {
    if (this.#serving || this.#next() === undefined) return;
    nextIteration(this.#clock, () => this.#serveNow());
    this.#serving = true;
  }

  #serveNow(): void {
    this.#serving = false;
    const share = new TurnQuota(this.#clock);
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        this.forget(next);
        next.goOn();
        if (share.spend()) return;
      }
    } finally {
      // What is left over has the next turn, also where one of them threw.
      this.#serve();
    }
  }

  /** The next one that may go on: what it takes in may make the others wait longer, so each is looked at anew. */
  #next(): Holder | undefined {
    if (this.#ready.size > 0 && !this.blocked) return first(this.#ready);
    return this.#resting.size > 0 && !this.#passed ? first(this.#resting) : undefined;
  }

  #evict(): void {
    const enough = this.#enough;
    const late: { readonly holder: Holder; readonly time: number }[] = [];
    for (const holder of this.#holders) {
      const time = this.#timeToGo(holder, enough);
      if (time !== undefined && this.#time + time > LONGEST) late.push({ holder, time });
    }
    late.sort((one, other) => other.time - one.time || other.holder.weight - one.holder.weight);
    for (const { holder } of late) {
      if (!this.#passed) return;
      // One that broke off because another did holds nothing any more.
      if (holder.weight === 0) continue;
      this.#evicted = true;
      holder.abortWith(new EvictedError(holder.weight, this.#total, this.#limit));
    }
  }

  #watch(holder: Holder): void {
    if (!this.#watched.has(holder)) this.#watched.set(holder, { time: this.#time, taken: holder.bytesOut });
  }

  /** How many milliseconds it takes until its peer has taken what it holds; nothing if that is not known yet. */
  #timeToGo(holder: Holder, enough: number): number | undefined {
    const since = this.#watched.get(holder);
    if (since === undefined) {
      this.#watch(holder);
      return undefined;
    }
    const time = this.#time - since.time;
    if (time < enough) return undefined;
    if (holder.stuck) return NEVER;
    // What waits for a handler is not judged by a pace. It goes when the shortage has lasted too long.
    return holder.stalled ? (holder.owed * time) / Math.max(holder.bytesOut - since.taken, 0.5) : 0;
  }
}

const first = (holders: ReadonlySet<Holder>): Holder | undefined => holders.values().next().value;
