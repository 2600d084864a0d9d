import { AsyncResource } from 'node:async_hooks';
import { timeSliceIsSpent } from './eventLoop.ts';
import { fires } from './fires.ts';
import { monotonic } from './monotonic.ts';

/** What the shared timer wakes. */
export interface Sleeper {
  /** When it is to be woken, in milliseconds of the monotonic clock. It stays as it is while the shared timer holds it. */
  readonly wakesAt: number;
  /** Where the shared timer, which writes it, holds it. Negative while it does not. */
  place: number;
  /** Called once, at that moment or later. It is not held any more. */
  wake(): void;
}

/** The place of a sleeper that the shared timer does not hold. */
export const NOWHERE = -1;

/** Places from here on are in the list of those that wait for the next timer, all others in the heap. */
const NEXT = 2 ** 30;

/** A timer has the async context of its creation. Without this it would be that of the connection which happens to be first. */
const NO_CONTEXT = new AsyncResource('SluiceTimer');

/** Timers of Node have 31 bits of milliseconds. */
const LONGEST = 0x7fffffff;

/** While a test fakes the time, nothing is woken. The timer looks every so many milliseconds whether that is over. */
const FAKED = 50;

/** The functions of the runtime. While a test fakes them, the global ones make timers that it may drop. */
let own: { readonly set: typeof setTimeout; readonly clear: typeof clearTimeout } | undefined;
let looked: typeof setTimeout | undefined;

/** Whether timers are the runtime's own now, so that one of them can be shared. */
export function timersAreOwn(): boolean {
  if (setTimeout !== looked) {
    looked = setTimeout;
    const timer = setTimeout(() => {}, 0);
    clearTimeout(timer);
    if (fires(timer)) own = { set: setTimeout, clear: clearTimeout };
  }
  return own?.set === setTimeout;
}

/**
 * One timer of the runtime for all connections of the process: it is armed for the first of those that wait.
 *
 * They are in a binary heap. Each knows its place in it, so that adding and removing one takes logarithmic time at most, and
 * makes no garbage. A new deadline is mostly the last one, and is added in constant time.
 *
 * It is for the monotonic clock only. The timer does not keep the process alive.
 */
class SharedTimer {
  readonly #heap: Sleeper[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires. */
  #armedFor = Number.POSITIVE_INFINITY;
  /** The moment until which sleepers are being woken; `-Infinity` while none are. */
  #until = Number.NEGATIVE_INFINITY;
  /**
   * Added while sleepers are woken, for a moment that has been reached. They wait for the next timer. Otherwise one would be woken
   * again and again where the clock is behind the timer: by a fraction of a millisecond, or because a test has stopped it.
   */
  readonly #next: (Sleeper | undefined)[] = [];

  add(sleeper: Sleeper): void {
    if (sleeper.wakesAt <= this.#until) {
      sleeper.place = NEXT + this.#next.push(sleeper) - 1;
      return;
    }
    // The timer first: if no stack is left to make one, nothing has changed.
    if (sleeper.wakesAt < this.#armedFor) this.#arm(sleeper.wakesAt);
    this.#rise(sleeper, this.#heap.length);
  }

  /** The timer stays as it is. If it was armed for this one, it finds nothing to wake, and is armed again. */
  remove(sleeper: Sleeper): void {
    const { place } = sleeper;
    sleeper.place = NOWHERE;
    if (place >= NEXT) {
      this.#next[place - NEXT] = undefined;
      return;
    }
    const last = this.#heap.pop();
    if (last === undefined || last === sleeper) return;
    this.#sink(last, place);
    if (last.place === place) this.#rise(last, place);
  }

  #arm(at: number, delay = at - monotonic.now()): void {
    const whole = Math.min(Math.max(0, Math.ceil(delay)), LONGEST);
    const { set = setTimeout, clear = clearTimeout } = own ?? {};
    const timer = NO_CONTEXT.runInAsyncScope(() => set(() => this.#fired(), whole).unref());
    clear(this.#timer);
    this.#timer = timer;
    this.#armedFor = at;
  }

  /**
   * Wakes those whose moment has come, for one time slice: tens of thousands may have the same deadline. The rest are woken after
   * the event loop has polled.
   */
  #fired(): void {
    if (!timersAreOwn()) return this.#arm(this.#armedFor, FAKED);
    // A test that has faked the time in between may have set the clock back. The timer has waited for as long as it was to.
    const until = Math.max(this.#armedFor, monotonic.now());
    this.#until = until;
    this.#armedFor = Number.POSITIVE_INFINITY;
    try {
      for (let first = this.#heap[0]; first !== undefined && first.wakesAt <= until; first = this.#heap[0]) {
        this.remove(first);
        first.wake();
        if (timeSliceIsSpent(monotonic)) break;
      }
    } finally {
      this.#until = Number.NEGATIVE_INFINITY;
      for (const sleeper of this.#next.splice(0)) if (sleeper !== undefined) this.#rise(sleeper, this.#heap.length);
      const first = this.#heap[0];
      if (first !== undefined && first.wakesAt < this.#armedFor) this.#arm(first.wakesAt);
    }
  }

  #put(sleeper: Sleeper, place: number): void {
    this.#heap[place] = sleeper;
    sleeper.place = place;
  }

  /** Puts it at this place, or nearer to the front. */
  #rise(sleeper: Sleeper, from: number): void {
    const heap = this.#heap;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = heap[above] as Sleeper;
      if (other.wakesAt <= sleeper.wakesAt) break;
      this.#put(other, place);
      place = above;
    }
    this.#put(sleeper, place);
  }

  /** Puts it at this place, or farther from the front. */
  #sink(sleeper: Sleeper, from: number): void {
    const heap = this.#heap;
    let place = from;
    for (let below = 2 * place + 1; below < heap.length; below = 2 * place + 1) {
      const right = heap[below + 1];
      if (right !== undefined && right.wakesAt < (heap[below] as Sleeper).wakesAt) below++;
      const other = heap[below] as Sleeper;
      if (sleeper.wakesAt <= other.wakesAt) break;
      this.#put(other, place);
      place = below;
    }
    this.#put(sleeper, place);
  }
}

export const sharedTimer = new SharedTimer();
