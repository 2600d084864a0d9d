import type { SchedulerLike } from 'rxjs';
import type { RefusalReason } from '../events.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { endOfCallback } from '../time/eventLoop.ts';
import { IndexedQueue } from './indexedQueue.ts';

export interface WaitingRoomOptions {
  /** How many may wait. */
  readonly max: number;
  /** Milliseconds each may wait. */
  readonly timeout: number;
  /** How many are handed out before one of them has been taken. */
  readonly ahead: number;
  readonly clock: SchedulerLike;
}

/** What the waiting room does with those who leave it. */
export interface WaitingRoomHandler<T> {
  /** Hands one to the pipe, which may take it at once, later, or never. */
  hand(item: T): void;
  /** Sends one away. */
  refuse(item: T, reason: RefusalReason): void;
  /** One was not taken at once, and waits. */
  waits?(item: T): void;
  /** Asked of one that has waited, before it is handed out: whether it has gone. If so the handler sees to it. */
  gone?(item: T): boolean;
}

/**
 * The waiting room: how a limit downstream reaches the accept loop.
 *
 * A pipe that is full does not subscribe to what it is handed. So only {@link WaitingRoomOptions.ahead} are ever in hand, that is
 * handed out and not yet taken, and the rest waits here: bounded in number and time, first in first out. Being taken frees
 * the place in hand, and the next one follows.
 *
 * Somebody who is sent away while in hand still lies in the pipe's own buffer, and keeps his place in hand until the pipe
 * takes him (and finds him gone). Otherwise that buffer would grow by one whenever a wait is over, without bound. But a
 * pipe may also have forgotten him. So his place is freed when the time of a wait has passed since he was handed out.
 */
export class WaitingRoom<T> implements DeadlineOwner {
  readonly #options: WaitingRoomOptions;
  readonly #handler: WaitingRoomHandler<T>;
  readonly #timer: DeadlineTimer;
  /** Those who wait for their turn, with the time when their wait is over. */
  readonly #queue = new IndexedQueue<T>();
  /** Those in hand, with the time when they count as forgotten. */
  readonly #inHand = new IndexedQueue<T>();
  /** Those of them who were not sent away yet, with the time when their wait is over. */
  readonly #alive = new IndexedQueue<T>();
  /** Whoever is being handed out in this very call, and has not been taken. */
  #handing: T | undefined;
  #releasing = false;
  #open = true;

  constructor(options: WaitingRoomOptions, handler: WaitingRoomHandler<T>) {
    this.#options = options;
    this.#handler = handler;
    this.#timer = new DeadlineTimer(options.clock, this);
  }

  /** How many wait, those in hand included. */
  get size(): number {
    return this.#queue.size + this.#alive.size;
  }

  /** Somebody comes: is handed out at once, waits, or is refused. */
  arrive(item: T): void {
    if (!this.#open) return this.#handler.refuse(item, 'draining');
    if (this.#releasing || this.#queue.size > 0 || !this.#hasPlace()) this.#queue.add(item, this.#untilOver());
    else this.#hand(item);
    this.#release();
    if (this.size > this.#options.max && this.#forget(item)) this.#handler.refuse(item, 'full');
    else if (this.#queue.has(item) || this.#alive.has(item)) this.#handler.waits?.(item);
    this.#timer.set();
  }

  /** The pipe takes somebody who was handed to it. */
  taken(item: T): void {
    if (item === this.#handing) {
      // As he is handed out: a pipe that has room, where nobody ever waits.
      this.#handing = undefined;
      return;
    }
    this.#alive.delete(item);
    if (!this.#inHand.delete(item) || this.#queue.size === 0) return;
    // Not within this call: a mergeMap that has nothing to do for whom it takes would come to the next one before it is done
    // with this one, as deep as the line is long.
    endOfCallback(this.#options.clock, () => this.#release());
  }

  /**
   * Somebody goes by himself, or is sent away by someone else, who says whether he also frees his place.
   *
   * @returns Whether he was waiting.
   */
  leave(item: T, freesPlace: boolean): boolean {
    const waited = this.#forget(item);
    if (freesPlace) this.taken(item);
    return waited;
  }

  /** Sends all away, and everyone who comes from now on. */
  close(): void {
    this.#open = false;
    this.#timer.clear();
    this.#sendAway('draining', Number.POSITIVE_INFINITY);
  }

  due(): number {
    const wait = Math.min(due(this.#queue), due(this.#alive));
    // One who is forgotten matters only to those who wait behind him.
    return this.#queue.size > 0 ? Math.min(wait, due(this.#inHand)) : wait;
  }

  expire(): void {
    this.#sendAway('timeout', this.#options.clock.now());
    this.#release();
    this.#timer.set();
  }

  /** Sends those away whose wait is over at a moment. */
  #sendAway(reason: RefusalReason, now: number): void {
    for (const waiting of [this.#alive, this.#queue]) {
      for (let first = waiting.first; first !== undefined && first[1] <= now; first = waiting.first) {
        waiting.delete(first[0]);
        this.#handler.refuse(first[0], reason);
      }
    }
  }

  /** When the wait of somebody is over that begins now. */
  #untilOver(): number {
    return this.#options.clock.now() + this.#options.timeout;
  }

  /** @param until When his wait is over, if it has begun before. */
  #hand(item: T, until?: number): void {
    const within = this.#releasing;
    this.#releasing = true;
    this.#handing = item;
    try {
      this.#handler.hand(item);
    } finally {
      this.#releasing = within;
      const taken = this.#handing !== item;
      this.#handing = undefined;
      if (!taken) {
        const forgotten = this.#untilOver();
        this.#inHand.add(item, forgotten);
        if (this.#open) this.#alive.add(item, until ?? forgotten);
        else this.#handler.refuse(item, 'draining');
      }
    }
  }

  #forget(item: T): boolean {
    if (item === this.#handing) return false;
    return this.#queue.delete(item) || this.#alive.delete(item);
  }

  /** Hands out as many as may be in hand. A loop: a thousand who are taken at once are a thousand rounds, not frames. */
  #release(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    try {
      for (let next = this.#queue.first; next !== undefined && this.#hasPlace(); next = this.#queue.first) {
        const [item, until] = next;
        this.#queue.delete(item);
        if (!this.#handler.gone?.(item)) this.#hand(item, until);
      }
    } finally {
      this.#releasing = false;
    }
  }

  /** Whether one more may be in hand: because there is a place, or because whoever has the oldest one is forgotten. */
  #hasPlace(): boolean {
    if (!this.#open) return false;
    if (this.#inHand.size < this.#options.ahead) return true;
    const [oldest, until] = this.#inHand.first ?? [];
    if (oldest === undefined || until === undefined || until > this.#options.clock.now()) return false;
    return !this.#alive.has(oldest) && this.#inHand.delete(oldest);
  }
}

const due = (line: IndexedQueue<unknown>): number => line.first?.[1] ?? Number.POSITIVE_INFINITY;
