import type { SchedulerLike } from 'rxjs';
import { SlowConsumerError } from '../errors.ts';
import { isData } from '../options.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { TurnQuota } from '../time/turnQuota.ts';
import type { TransportSocket } from '../transport/transport.ts';
import { flushLater } from './flushLater.ts';
import type { MemoryBudget } from './memoryBudget.ts';
import { OutputProgress, type ProgressLimits } from './outputProgress.ts';
import { byteLength, type Data, type Limits, notData, WriteQueue } from './writeQueue.ts';

/** What the outputs of one listener have in common. */
export interface OutputSettings extends Limits, ProgressLimits {
  readonly clock: SchedulerLike;
  readonly budget: MemoryBudget;
}

/** What an output reports to its connection. */
export interface OutputOwner {
  /** Whether our side ends the connection: nothing more is queued. */
  readonly over: boolean;
  /** Whether the connection is detached: nothing more is sent. */
  readonly isDetached: boolean;
  /** The handler wrote outside of a read, which is activity. */
  active(): void;
  /** The network did not take all at once. @param isFirst Whether nothing was pending before. */
  outputBlocked(isFirst: boolean): void;
  /** There is room for more, or the output is closed. Called before the callbacks that wait for room. */
  outputHasRoom(): void;
  /** A callback waits for room while memory is short. @param isReady Whether it could write at once if memory were not short. */
  outputWaitsForMemory(isReady: boolean): void;
  /** Calls user code, or code that may reach it, and attributes what it throws to this connection. */
  call(work: () => void): void;
  /** User code passed a value that cannot be sent. */
  crashed(error: unknown): void;
  /** More is unsent than may be. */
  abortWith(error: Error): void;
  /** The error for a write that can never be sent. */
  closedError(): Error;
}

/** This much pending output of an event-loop iteration, in characters or bytes, is flushed before the iteration ends. */
const EARLY = 64 * 1024;

/**
 * When the bytes of one connection leave:
 *
 * - what is written during a read, that is, in a call of the input's sink, leaves when that call returns ({@link uncork});
 * - what is written at any other time leaves at the end of the event-loop iteration ({@link flushLater});
 * - either leaves at once when 64 KiB have gathered, or while the server's memory budget is exceeded;
 * - while the network has not taken the last write, everything queues, and the next write begins when it has ({@link writable}).
 *
 * So what is written in one iteration leaves in one write, and at most one write is in flight.
 *
 * The output is **congested** while more than `highWaterMark` bytes are unsent, or any bytes while memory is short. Then a
 * `send()` pauses the input, and generators, loops and `write()` wait for room.
 */
export class Output {
  /** A read is in progress, whose call of the sink ends with a flush. */
  corked = false;
  readonly queue: WriteQueue;
  /** How slowly the peer reads, from its first stall on. */
  progress: OutputProgress | undefined;
  readonly #socket: TransportSocket;
  readonly #settings: OutputSettings;
  readonly #owner: OutputOwner;
  /** Callbacks that wait for room. */
  #waiters: (() => void)[] | undefined;
  /** What `write()` calls that need not wait may take of one event-loop iteration. */
  #quota: TurnQuota | undefined;
  /** The promise of `write()` calls that wait: one for all of them. */
  #room: Promise<void> | undefined;

  constructor(socket: TransportSocket, settings: OutputSettings, owner: OutputOwner) {
    this.queue = new WriteQueue(socket, settings);
    this.#socket = socket;
    this.#settings = settings;
    this.#owner = owner;
  }

  /** Bytes that have been sent. */
  get bytesOut(): number {
    return this.#socket.bytesWritten - this.#socket.pending;
  }

  /** Whether there is no room for more: a source that can wait does. */
  get congested(): boolean {
    const { queue } = this;
    return (
      queue.isCongested && !this.#owner.isDetached && (queue.unsent > this.#settings.highWaterMark || this.pressed)
    );
  }

  /** Bytes or characters of this event-loop iteration that have not been handed to the network yet. */
  get gathered(): number {
    return this.queue.isCongested ? 0 : this.queue.waiting;
  }

  get limits(): Limits {
    return this.#settings;
  }

  /** Whether all connections together hold more than the server's budget. */
  get pressed(): boolean {
    return this.#settings.budget.passed;
  }

  /** Whether they hold so much output that no work may begin that makes more of it. */
  get blocked(): boolean {
    return this.#settings.budget.blocked;
  }

  /** Queues a value. */
  push(data: Data | undefined): void {
    if (this.#owner.over || data === undefined) return;
    if (!isData(data)) return this.#owner.crashed(notData(data));
    const { queue } = this;
    const isFirst = queue.waiting === 0;
    if (!queue.push(data)) {
      this.#owner.abortWith(new SlowConsumerError(this.#settings.maxOutbound, queue.unsent + byteLength(data)));
    } else if (queue.isCongested) {
      this.#track();
    } else if (queue.waiting >= EARLY || this.pressed) {
      // While memory is short, nothing may gather for a peer that may turn out to be stalled.
      this.flush();
    } else if (isFirst && !this.corked) {
      flushLater(this, this.#settings.clock);
    }
  }

  /** Hands what has gathered to the network. */
  flush(): void {
    if (this.#owner.isDetached || this.queue.waiting === 0) return;
    if (!this.corked && !this.queue.isCongested) this.#owner.active();
    this.queue.flush();
    this.#track();
  }

  /** A read is over: flushes what was written in it. The flush counts as part of the read, so it comes before the flag falls. */
  uncork(): void {
    this.flush();
    this.corked = false;
  }

  /** Queues a value. @returns A promise that is resolved when there is room for more. See `Connection.write`. */
  write(data: Data): Promise<void> {
    const isOver = () => this.#owner.isDetached || this.queue.ended;
    const mustWait = () => !isOver() && (this.congested || this.blocked);
    if (!isOver()) this.push(data);
    // However many calls do not await their promise, there is one for all that wait for room.
    if (this.#room !== undefined) return this.#room;
    const { clock } = this.#settings;
    // Promises that are resolved at once would keep the event loop from all other connections.
    this.#quota ??= new TurnQuota(clock);
    const hasRoom = !isOver() && !mustWait();
    if (hasRoom && !this.#quota.spend()) return Promise.resolve();
    const room = new Promise<void>((resolve, reject) => {
      const look = () => {
        if (mustWait()) return this.whenRoom(look);
        this.#room = undefined;
        if (isOver()) reject(this.#owner.closedError());
        else resolve();
      };
      if (hasRoom) nextIteration(clock, look);
      else look();
    });
    room.catch(() => {});
    if (!isOver()) this.#room = room;
    return room;
  }

  /** Calls back once, when there may be room or the output is closed. */
  whenRoom(waiter: () => void): void {
    this.#waiters ??= [];
    this.#waiters.push(waiter);
    // A peer that has pending output to take makes room as well; without that, only the budget does.
    if (this.pressed) this.#owner.outputWaitsForMemory(!this.queue.isCongested);
  }

  /** There is room, or the output is closed: calls back what waits for that. */
  roomMade(): void {
    this.#owner.outputHasRoom();
    const waiters = this.#waiters;
    if (waiters === undefined) return;
    this.#waiters = undefined;
    for (const waiter of waiters) this.#owner.call(waiter);
  }

  /** Sends a FIN behind what is queued. What is written from then on is ignored. */
  end(): void {
    // The stall deadline is armed before user code runs.
    this.queue.end();
    this.#track();
  }

  /** The network has taken the last write. */
  writable(): void {
    this.progress?.end();
    this.#owner.active();
    this.queue.writable();
    this.#track();
  }

  /** Our FIN is sent. */
  finished(): void {
    this.queue.finish();
    this.progress?.end();
  }

  /** A write failed: nothing more can be sent. */
  fail(): void {
    this.progress?.end();
    this.queue.fail();
  }

  /** Measures progress once the network has not taken all. */
  #track(): void {
    if (!this.queue.isCongested) return;
    this.progress ??= new OutputProgress(this.#socket, this.#settings);
    const isFirst = !this.progress.isRunning;
    if (isFirst) this.progress.begin(this.#settings.clock.now(), this.bytesOut);
    this.#owner.outputBlocked(isFirst);
  }
}
