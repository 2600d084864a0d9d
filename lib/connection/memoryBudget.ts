import type { SchedulerLike } from 'rxjs';
import { nextIteration } from '../time/eventLoop.ts';
import { IterationQuota } from '../time/iterationQuota.ts';
import { monotonic } from '../time/monotonic.ts';
import { type Evictable, type ScarceMemory, ShortageSpell } from './shortageSpell.ts';

/** What holds memory, as the budget sees it: a connection. */
export interface Holder extends Evictable {
  readonly clock: SchedulerLike;
  /** Bytes of its weight that are output. */
  readonly output: number;
  /** Goes on where it has waited for the budget. */
  resume(): void;
}

/** Past the budget times this, new connections are refused. */
const HARD = 1.25;
/** Below the budget times this there is room again. */
const LOW = 0.75;
/** While output holds less than this share of the budget, what has been read is processed. */
const OUTPUT = 1 / 8;

/**
 * The bytes that all connections of a server hold together: read and not processed, written and not sent.
 *
 * ```text
 * 125 %  hard line   new connections are refused, and evictions begin after 1 s
 * 100 %  budget      a shortage begins: nothing more is read, no work begins; evictions begin after 3 s
 *  75 %  room        the shortage ends: connections go on, one after the other
 * ```
 *
 * **In a shortage** no connection reads more, and none begins work: no frame is emitted, no request begins, no generator
 * is asked. So at most the budget is held, an eighth of it, one reply for each request in progress, and one read for each
 * connection that sends meanwhile. While output holds less than that eighth, what has been read already is processed.
 *
 * **A spell of shortages lasts 10 s at most, and the time for which its last shortage watches.** A connection is evicted when, at
 * the pace at which its peer has taken output in this spell, it would hold memory beyond that. Those that hold part of a frame
 * are first, because its rest is not read; then those that would take longest. No more are evicted than it takes for there to
 * be room.
 *
 * **After an eviction, a shortage that begins within 1 s, or before all connections have gone on, belongs to the same spell.**
 * Each one that evicts halves the time of watching for the next. Otherwise peers that never read, one after the other, would each
 * delay all that wait for 3 s. A spell is over when memory was short for 10 s in it, so that honest peers are not judged in haste
 * for as long as memory is short.
 *
 * It costs a connection nothing while there is room: it reads {@link isShort} when it reads input, and {@link isShortOfOutput}
 * after each frame. Only a connection that was stopped by that is known as waiting.
 */
export class MemoryBudget implements ScarceMemory {
  readonly limit: number;
  readonly holders: ReadonlySet<Holder>;
  readonly #holders = new Set<Holder>();
  #total = 0;
  #output = 0;
  #passed = false;
  /** Is made with the first shortage. */
  #spell: ShortageSpell | undefined;
  /** Those that wait and have read input to process, in the order in which they came. */
  readonly #ready = new Set<Holder>();
  /** Those that wait to read on. */
  readonly #waitingToRead = new Set<Holder>();
  #isServing = false;
  /** That of the holder which began the shortage. */
  #clock: SchedulerLike = monotonic;

  /** @param limit In bytes. */
  constructor(limit: number) {
    this.limit = limit;
    this.holders = this.#holders;
  }

  /** What all hold together, in bytes. */
  get total(): number {
    return this.#total;
  }

  /** Whether memory is short: from when more is held than the budget until there is room. Nothing more is read. */
  get isShort(): boolean {
    return this.#passed;
  }

  /** Whether memory is short because of output. No work begins that makes more of it. */
  get isShortOfOutput(): boolean {
    return this.#passed && this.#output > this.limit * OUTPUT;
  }

  /** Whether so much is held that new connections are refused. */
  get isPastHardLimit(): boolean {
    return this.#total > this.limit * HARD;
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
      this.#spell?.forget(holder);
    } else if (before === 0) {
      this.#holders.add(holder);
    }
    if (!this.#passed) {
      if (this.#total > this.limit) this.#begin(holder.clock);
    } else if (this.#total < this.limit * LOW) {
      this.#end();
    } else {
      this.#serve();
    }
  }

  /**
   * A holder waits until `resume` is called.
   *
   * @param ready Whether it has read input to process already.
   */
  wait(holder: Holder, ready: boolean): void {
    if (ready) {
      this.#waitingToRead.delete(holder);
      this.#ready.add(holder);
      this.#serve();
    } else if (!this.#ready.has(holder)) {
      this.#waitingToRead.add(holder);
    }
  }

  /** A holder is closed, and waits no more. */
  forget(holder: Holder): void {
    this.#ready.delete(holder);
    this.#waitingToRead.delete(holder);
  }

  #begin(clock: SchedulerLike): void {
    this.#passed = true;
    this.#clock = clock;
    this.#spell ??= new ShortageSpell(this, clock);
    this.#spell.begin(clock, this.#ready.size > 0);
  }

  #end(): void {
    this.#passed = false;
    this.#spell?.end();
    this.#serve();
  }

  /** Lets holders go on in an event-loop iteration of their own, because memory may become free in the middle of any call. */
  #serve(): void {
    if (this.#isServing || this.#next() === undefined) return;
    nextIteration(this.#clock, () => this.#serveNow());
    this.#isServing = true;
  }

  #serveNow(): void {
    this.#isServing = false;
    const quota = new IterationQuota(this.#clock);
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        this.forget(next);
        next.resume();
        if (quota.spend()) return;
      }
    } finally {
      // The rest goes on in the next iteration, even if one of them threw.
      this.#serve();
    }
  }

  /**
   * The next holder that may go on. It is asked for anew each time, because what one holder reads may make the rest wait longer.
   */
  #next(): Holder | undefined {
    if (this.#ready.size > 0 && !this.isShortOfOutput) return first(this.#ready);
    return this.#waitingToRead.size > 0 && !this.#passed ? first(this.#waitingToRead) : undefined;
  }
}

const first = (holders: ReadonlySet<Holder>): Holder | undefined => holders.values().next().value;
