import type { SchedulerLike } from 'rxjs';
import type { RefusalReason } from '../events.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { endOfCallback } from '../time/eventLoop.ts';
import { HandOutOrder, type WaitingOrder } from './handOutOrder.ts';
import { type Entry, IndexedQueue } from './indexedQueue.ts';

export interface WaitingRoomOptions {
  /** How many connections may wait now. */
  readonly max: number;
  /** Milliseconds that each of them may wait now. */
  readonly timeout: number;
  /** Slots: how many connections may be handed out and not taken. */
  readonly ahead: number;
  /** @default 'fifo' */
  readonly order?: WaitingOrder | undefined;
  readonly clock: SchedulerLike;
}

/** What the waiting room does with a connection. */
export interface WaitingRoomHandler<T> {
  /** Hands it to the operators downstream, which may take it in this call, later, or never. */
  hand(item: T): void;
  /** Refuses it. @param yielded Whether it gave way to others until then. */
  refuse(item: T, reason: RefusalReason, yielded: boolean): void;
  /** It was not taken in the call that handed it out, and waits. */
  waits?(item: T): void;
  /** Whether one more may be served, where the operators do not limit that. @default true */
  hasPlace?(): boolean;
  /**
   * Whether it gives way to others: it then waits apart, and is handed out only while nothing else waits and this is false.
   * @default false
   */
  yields?(item: T): boolean;
  /** Whether the port stops accepting when as many wait as may. Then none is refused as `full`. @default false */
  isBounded?(): boolean;
  /** Whether its peer has left. Asked before a connection that waited is handed out; if so, the handler refuses it. */
  isAbandoned?(item: T): boolean;
}

/**
 * A bounded queue of accepted connections: how a limit downstream reaches the port.
 *
 * An operator at its limit does not subscribe to a connection that it is handed. So at most {@link WaitingRoomOptions.ahead}
 * connections are handed out and not yet taken; each of them has a slot. All further ones wait here, bounded in number and time,
 * and are handed out in the order of {@link HandOutOrder}. A connection that is taken frees its slot, and the next one is handed out.
 *
 * A connection that is refused after it was handed out is still referenced by the operator's buffer. It keeps its slot until
 * the operator subscribes to it (and finds it closed); otherwise that buffer would grow by one per timeout, without bound.
 * Because an operator may also drop a connection, the slot expires `timeout` ms after the hand-out.
 */
export class WaitingRoom<T> implements DeadlineOwner {
  readonly #options: WaitingRoomOptions;
  readonly #handler: WaitingRoomHandler<T>;
  readonly #timer: DeadlineTimer;
  readonly #order: HandOutOrder;
  /** Connections that are not handed out, with the time since which they wait. */
  readonly #queue = new IndexedQueue<T>();
  /** The same, of connections that give way to those. */
  readonly #yielding = new IndexedQueue<T>();
  /** Connections that have a slot, with the time since which they have it. */
  readonly #slots = new IndexedQueue<T>();
  /** Those of them that are not refused yet, with the time since which they wait. */
  readonly #handedOut = new IndexedQueue<T>();
  /** The connection that is being handed out in this call, until it is taken. */
  #handing: T | undefined;
  #releasing = false;
  /** One of those that give way may not do so any more, although the first of them does. */
  #mayPass = false;
  #open = true;

  constructor(options: WaitingRoomOptions, handler: WaitingRoomHandler<T>) {
    this.#options = options;
    this.#handler = handler;
    this.#timer = new DeadlineTimer(options.clock, this);
    this.#order = new HandOutOrder(options.order ?? 'fifo', options.clock);
  }

  /** How many connections wait, those with a slot included. */
  get size(): number {
    return this.#queue.size + this.#yielding.size + this.#handedOut.size;
  }

  /** How many of them give way to others. */
  get yielding(): number {
    return this.#yielding.size;
  }

  /** Milliseconds that are left of the wait of the one that has waited longest, of those that do not give way. */
  get timeLeft(): number {
    const since = Math.min(this.#queue.since, this.#firstHandedOut?.[1] ?? Number.POSITIVE_INFINITY);
    return Math.max(0, since + this.#options.timeout - this.#now);
  }

  /** Hands out a new connection, queues it, or refuses it. */
  arrive(item: T): void {
    if (!this.#open) return this.#handler.refuse(item, 'draining', false);
    if (this.#handler.yields?.(item)) this.#yielding.add(item, this.#now);
    else if (this.#releasing || this.#queue.size > 0 || !this.#hasSlot()) this.#enqueue(item);
    else this.#hand(item);
    this.#release();
    if (this.size > this.#options.max && !this.#handler.isBounded?.()) this.#makeRoom(item);
    if (this.#waits(item)) this.#handler.waits?.(item);
    this.#timer.set();
  }

  #enqueue(item: T): void {
    if (this.#queue.size === 0) this.#order.emptied();
    this.#queue.add(item, this.#now);
  }

  #waits(item: T): boolean {
    return this.#queue.has(item) || this.#yielding.has(item) || this.#handedOut.has(item);
  }

  /**
   * A connection too many waits: the last one that gives way to others is refused, or else the new one, or the one that has waited
   * longest if the newest is next.
   */
  #makeRoom(newest: T): void {
    const yielding = this.#yielding.last;
    if (yielding) return this.#refuse(yielding[0], 'full');
    // Asked only where the answer matters, because asking is an observation of the wait.
    const longest = this.#queue.first;
    this.#refuse(longest && this.#order.isNewestFirst(longest[1]) ? longest[0] : newest, 'full');
  }

  #refuse(item: T, reason: RefusalReason): void {
    const yielded = this.#yielding.has(item);
    if (this.#remove(item)) this.#handler.refuse(item, reason, yielded);
  }

  /** Places may be free for those that give way. */
  updateYielding(mayPass: boolean): void {
    if (this.#yielding.size > 0) this.update(mayPass);
  }

  /**
   * The limits have changed, or a place is free: refuses those that have waited too long by now, and hands out the next ones.
   *
   * @param mayPass Whether some may not give way any more, although the first of them does: those of another peer.
   */
  update(mayPass = false): void {
    if (!this.#open) return;
    this.#mayPass ||= mayPass;
    this.#timer.set();
    endOfCallback(this.#options.clock, () => this.#release());
  }

  /** An operator has subscribed to a connection that was handed out: its slot is free. */
  taken(item: T): void {
    if (item === this.#handing) {
      // Taken in the call that hands it out, as by an operator below its limit: it never needs a slot.
      this.#handing = undefined;
      return;
    }
    this.#handedOut.delete(item);
    if (!this.#slots.delete(item) || this.#queue.size + this.#yielding.size === 0) return;
    // Not within this call. A `mergeMap` that is done with a connection at once would subscribe to the next one before it
    // has returned from this one, and recurse as deep as the queue is long.
    endOfCallback(this.#options.clock, () => this.#release());
  }

  /**
   * A connection is closed, or is refused by a caller.
   *
   * @param freesSlot Whether the operator that was handed the connection has dropped it.
   * @returns Whether the connection waited.
   */
  leave(item: T, freesSlot: boolean): boolean {
    const waited = this.#remove(item);
    if (freesSlot) this.taken(item);
    return waited;
  }

  /** Refuses all connections that wait, and each one that arrives from now on. */
  close(): void {
    this.#open = false;
    this.#timer.clear();
    this.#refuseDue('draining', Number.POSITIVE_INFINITY);
  }

  due(): number {
    const handedOut = this.#firstHandedOut?.[1] ?? Number.POSITIVE_INFINITY;
    const since = Math.min(this.#queue.since, this.#yielding.since, handedOut);
    return (this.#needsSlot ? Math.min(since, this.#slots.since) : since) + this.#options.timeout;
  }

  /** Whether a connection in a queue would be handed out if a slot expired. */
  get #needsSlot(): boolean {
    if (this.#queue.size + this.#yielding.size === 0 || this.#slots.size < this.#options.ahead) return false;
    return this.#handler.hasPlace?.() !== false;
  }

  expire(): void {
    this.#refuseDue('timeout', this.#options.clock.now());
    this.#release();
    this.#timer.set();
  }

  /** Refuses the connections whose wait is over at a time. */
  #refuseDue(reason: RefusalReason, now: number): void {
    const next = (): Entry<T> | undefined =>
      [this.#firstHandedOut, this.#queue.first, this.#yielding.first].find(
        (entry) => entry && entry[1] + this.#options.timeout <= now,
      );
    for (let entry = next(); entry !== undefined; entry = next()) this.#refuse(entry[0], reason);
  }

  /** The one of those that were handed out and not taken that has waited longest. */
  get #firstHandedOut(): Entry<T> | undefined {
    return this.#options.order === undefined || this.#options.order === 'fifo'
      ? this.#handedOut.first
      : this.#handedOut.longest;
  }

  get #now(): number {
    return this.#options.clock.now();
  }

  /** @param since Since when it has waited, if it was in the queue. */
  #hand(item: T, since?: number): void {
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
        const now = this.#now;
        this.#slots.add(item, now);
        if (this.#open) this.#handedOut.add(item, since ?? now);
        else this.#handler.refuse(item, 'draining', false);
      }
    }
  }

  /** @returns Whether the connection waited. */
  #remove(item: T): boolean {
    if (item === this.#handing) return false;
    return this.#queue.delete(item) || this.#yielding.delete(item) || this.#handedOut.delete(item);
  }

  /**
   * Hands out connections while there are slots. A loop, because a thousand connections that are each taken at once would
   * otherwise be a thousand stack frames.
   */
  #release(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    try {
      while (this.#queue.size + this.#yielding.size > 0 && this.#hasSlot()) {
        const next = this.#next();
        if (next === undefined) return;
        const [item, since] = next;
        this.#remove(item);
        if (!this.#handler.isAbandoned?.(item)) this.#hand(item, since);
      }
    } finally {
      this.#releasing = false;
    }
  }

  #next(): Entry<T> | undefined {
    const { first } = this.#queue;
    if (first === undefined) return this.#nextYielding();
    return this.#order.isNewestFirst(first[1]) ? this.#queue.last : first;
  }

  /** The first one that does not give way any more. All are asked only after a change, because that takes as long as the queue. */
  #nextYielding(): Entry<T> | undefined {
    const { first } = this.#yielding;
    if (first === undefined || !this.#handler.yields?.(first[0])) return first;
    if (!this.#mayPass) return undefined;
    for (const entry of this.#yielding) if (!this.#handler.yields(entry[0])) return entry;
    this.#mayPass = false;
    return undefined;
  }

  /** Whether a slot is free, or the oldest one has expired; that one is freed. */
  #hasSlot(): boolean {
    if (!this.#open || this.#handler.hasPlace?.() === false) return false;
    if (this.#slots.size < this.#options.ahead) return true;
    const [oldest, since] = this.#slots.first ?? [];
    if (oldest === undefined || since === undefined || since + this.#options.timeout > this.#now) return false;
    return !this.#handedOut.has(oldest) && this.#slots.delete(oldest);
  }
}
