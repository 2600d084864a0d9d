import type { SchedulerLike } from 'rxjs';
import { SlowConsumerError } from '../errors.ts';
import { isData } from '../options.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { IterationQuota } from '../time/iterationQuota.ts';
import type { TransportSocket } from '../transport/transport.ts';
import { flushLater, flushSoon } from './flushLater.ts';
import type { MemoryBudget } from './memoryBudget.ts';
import { OutputProgress, type ProgressLimits } from './outputProgress.ts';
import { passCopy } from './passedOn.ts';
import type { ByteSink } from './source.ts';
import { byteLength, type Data, notData, type OutputLimits, WriteQueue } from './writeQueue.ts';

/** What the outputs of one listener have in common. */
export interface OutputSettings extends OutputLimits, ProgressLimits {
  readonly clock: SchedulerLike;
  readonly budget: MemoryBudget;
}

/** What an output reports to its connection. */
export interface OutputOwner {
  readonly settings: OutputSettings;
  /** Whether our side ends the connection: nothing more is queued. */
  readonly over: boolean;
  /** Whether the connection is detached: nothing more is sent. */
  readonly isDetached: boolean;
  /** The handler wrote outside of a read, which is activity. */
  active(): void;
  /** The network did not take all at once. @param isFirst Whether nothing was pending before. */
  writeInFlight(isFirst: boolean): void;
  /** There is room for more, or the output is closed. Called before the callbacks that wait for room. */
  outputHasRoom(): void;
  /** A callback waits for room while memory is short. @param isReady Whether it could write at once if memory were not short. */
  waitForMemory(isReady: boolean): void;
  /** Whether the code of its handler has an async context of its own, in which it has to be called. */
  readonly hasContext: boolean;
  inContext(work: () => void): void;
  /** Calls user code, or code that may reach it, and attributes what it throws to this connection. */
  call(work: () => void): void;
  /** User code threw where RxJS does not catch it, or passed a value that cannot be sent. */
  crashed(error: unknown): void;
  /** A write threw: what it was to send never will be. */
  writeThrew(error: unknown): void;
  /** More is unsent than may be. */
  abortWith(error: Error): void;
  /** The error for a write that can never be sent. */
  closedError(): Error;
}

/** What waits for room in the output of one connection. */
class Waiting {
  callbacks: (() => void)[] = [];
  /** Limits how many promises of `write()` are resolved at once in one event-loop iteration. */
  quota: IterationQuota | undefined;
  /** The promise of `write()` calls that wait: one for all of them. */
  promise: Promise<void> | undefined;
}

/** This much output of one callback, in characters or bytes, is flushed before the callback ends. */
const EARLY = 64 * 1024;

/**
 * When the bytes of one connection leave:
 *
 * - what is written during a read, that is, in a call of the input's sink, leaves when that call returns ({@link corkWhile});
 * - what a stream, an `exchange` or a generator emits at any other time leaves when the current callback of the event loop ends,
 *   and all microtasks that follow it ({@link flushLater});
 * - what `write()` takes at any other time leaves in a microtask ({@link flushSoon});
 * - either leaves at once when 64 KiB have gathered, or while the server's memory budget is exceeded;
 * - while the network has not taken the last write, everything queues, and the next write begins when it has ({@link writable}).
 *
 * So what is written in one callback leaves in one write, and at most one write is in flight.
 *
 * The output is **congested** while more than `highWaterMark` bytes are unsent, or any bytes while memory is short. Then a
 * `send()` pauses the input, and generators, loops and `write()` wait for room.
 */
export class Output {
  readonly queue: WriteQueue;
  /** Values that the handler has written, and those among them that it wrote later than in a call of the input's sink. */
  replies = 0;
  lateReplies = 0;
  /** How slowly the peer reads, from its first stall on. */
  progress: OutputProgress | undefined;
  #socket: TransportSocket;
  readonly #owner: OutputOwner;
  /** The sink of the input is called, and a flush follows. */
  #isCorked = false;
  /** Made for a handler that writes, or that is asked for values. */
  #waiting: Waiting | undefined;

  constructor(socket: TransportSocket, owner: OutputOwner) {
    this.queue = new WriteQueue(socket, owner.settings);
    this.#socket = socket;
    this.#owner = owner;
  }

  /** Writes to another socket from now on. No write is in flight. */
  replaceSocket(socket: TransportSocket): void {
    this.#socket = socket;
    this.progress = undefined;
    this.queue.replaceSocket(socket);
  }

  /** Bytes that have been sent. */
  get bytesOut(): number {
    return this.#socket.bytesWritten - this.#socket.pending;
  }

  /** Whether there is no room for more. A source that can wait then waits. */
  get congested(): boolean {
    const { queue } = this;
    return (
      queue.isWriteInFlight &&
      !this.#owner.isDetached &&
      (queue.unsent > this.#owner.settings.highWaterMark || this.memoryIsShort)
    );
  }

  /** Bytes or characters of the current callback that have not been handed to the network yet. */
  get gathered(): number {
    return this.queue.isWriteInFlight ? 0 : this.queue.waiting;
  }

  get limits(): OutputLimits {
    return this.#owner.settings;
  }

  /** Whether all connections together hold more than the server's budget. */
  get memoryIsShort(): boolean {
    return this.#owner.settings.budget.isShort;
  }

  /** Whether all connections together hold so much output that no new work may begin. */
  get blocked(): boolean {
    return this.#owner.settings.budget.isShortOfOutput;
  }

  /** Queues a value. */
  push(data: Data | undefined): void {
    if (this.#owner.over || data === undefined) return;
    if (!isData(data)) return this.#owner.crashed(notData(data));
    const { queue } = this;
    this.replies++;
    if (!this.#isCorked) this.lateReplies++;
    // Before the value is queued, because no stack may be left for the call: then nothing waits for a flush that never comes.
    if (queue.waiting === 0 && !this.#isCorked && !queue.isWriteInFlight) flushLater(this, this.#owner.settings.clock);
    if (!queue.push(data)) {
      this.#owner.abortWith(new SlowConsumerError(this.#owner.settings.maxOutbound, queue.unsent + byteLength(data)));
    } else if (queue.isWriteInFlight) {
      this.#track();
    } else if (queue.waiting >= EARLY || this.memoryIsShort) {
      // While memory is short, nothing may gather for a peer that may turn out to be stalled.
      this.flush();
    }
  }

  /** Queues a borrowed chunk, which is copied. */
  pushBorrowed(chunk: Uint8Array): void {
    if (chunk.length < EARLY || this.#socket.copies !== true) return this.push(Buffer.from(chunk));
    passCopy(chunk, (copy) => {
      this.push(copy);
      // So much is flushed at once. If the network has taken it, nothing refers to it any more.
      return this.queue.waiting === 0 && !this.queue.isWriteInFlight && !this.queue.failed;
    });
  }

  /** Hands what has gathered to the network. */
  flush(): void {
    if (this.queue.waiting === 0 || this.#owner.isDetached) return;
    if (!this.#isCorked && !this.queue.isWriteInFlight) this.#owner.active();
    this.#send(this.queue.flush);
  }

  /** A write may throw, as that of bytes whose memory was transferred. That is a fault of this connection, and of no other. */
  #send(step: (this: WriteQueue) => void): void {
    try {
      step.call(this.queue);
    } catch (error) {
      this.#owner.writeThrew(error);
    }
    this.#track();
  }

  /** Whether the sink of the input is called. */
  get isCorked(): boolean {
    return this.#isCorked;
  }

  /** Passes a read to the sink of the input. What it writes leaves together; what it throws must not reach the event loop. */
  corkWhileReceiving(sink: Pick<ByteSink, 'next'>, chunk: Uint8Array): void {
    const isWithin = this.#isCorked;
    this.#isCorked = true;
    try {
      if (this.#owner.hasContext) this.#receiveInContext(sink, chunk);
      else sink.next(chunk);
    } catch (error) {
      this.#owner.crashed(error);
    } finally {
      if (!isWithin) this.#uncork();
    }
  }

  /**
   * The same for any other call of the sink. If something waits for the end of the callback already, what is written leaves with
   * it: an async function that has replied causes such a call, and the next function may reply in the same callback.
   *
   * @param on What the work is done on, so that it need not be a closure.
   */
  corkWhile<T>(work: (on: T) => void, on: T): void {
    const isWithin = this.#isCorked;
    const flushes = this.gathered === 0;
    this.#isCorked = true;
    try {
      if (this.#owner.hasContext) this.#workInContext(work, on);
      else work(on);
    } catch (error) {
      this.#owner.crashed(error);
    } finally {
      if (!isWithin) this.#uncork(flushes);
    }
  }

  // Apart: a function that has a closure in it allocates what that refers to in each call, also where it does not make the closure.
  #receiveInContext(sink: Pick<ByteSink, 'next'>, chunk: Uint8Array): void {
    this.#owner.inContext(() => sink.next(chunk));
  }

  #workInContext<T>(work: (on: T) => void, on: T): void {
    this.#owner.inContext(() => work(on));
  }

  /** The flush counts as part of the read, so it comes first. */
  #uncork(flushes = true): void {
    try {
      if (flushes) this.flush();
    } finally {
      this.#isCorked = false;
    }
  }

  /** Queues a value. @returns A promise that is resolved when there is room for more. See `Connection.write`. */
  write(data: Data): Promise<void> {
    const isOver = () => this.#owner.isDetached || this.queue.ended;
    const mustWait = () => !isOver() && (this.congested || this.blocked);
    if (!isOver()) this.push(data);
    // What is awaited has been handed to the network, and counts as unsent, before the next value can be written.
    if (this.gathered > 0 && !this.#isCorked) flushSoon(this);
    this.#waiting ??= new Waiting();
    const waiting = this.#waiting;
    // All calls that wait for room share one promise.
    if (waiting.promise !== undefined) return waiting.promise;
    const { clock } = this.#owner.settings;
    // Promises that are resolved at once would keep the event loop from all other connections.
    waiting.quota ??= new IterationQuota(clock);
    const hasRoom = !isOver() && !mustWait();
    if (hasRoom && !waiting.quota.spend()) return Promise.resolve();
    const room = new Promise<void>((resolve, reject) => {
      const look = () => {
        if (mustWait()) return this.whenRoom(look);
        waiting.promise = undefined;
        if (isOver()) reject(this.#owner.closedError());
        else resolve();
      };
      if (hasRoom) nextIteration(clock, look);
      else look();
    });
    room.catch(() => {});
    if (!isOver()) waiting.promise = room;
    return room;
  }

  /** Calls back once, when there may be room or the output is closed. */
  whenRoom(waiter: () => void): void {
    this.#waiting ??= new Waiting();
    this.#waiting.callbacks.push(waiter);
    // Pending output makes room when the peer takes it. Without pending output, only the budget can make room.
    if (this.memoryIsShort) this.#owner.waitForMemory(!this.queue.isWriteInFlight);
  }

  /** There is room, or the output is closed: calls back what waits for that. */
  roomMade(): void {
    this.#owner.outputHasRoom();
    const waiting = this.#waiting;
    if (waiting === undefined || waiting.callbacks.length === 0) return;
    const { callbacks } = waiting;
    waiting.callbacks = [];
    for (const callback of callbacks) this.#owner.call(callback);
  }

  /** Hands on what was written before, in clear text. What is written from now on waits for {@link release}. */
  hold(): void {
    this.#send(this.queue.hold);
  }

  release(): void {
    this.#owner.active();
    this.#send(this.queue.release);
    if (!this.congested) this.roomMade();
  }

  /** Sends a FIN behind what is queued. What is written from then on is ignored. */
  end(): void {
    // The stall deadline is armed before user code runs.
    this.#send(this.queue.end);
  }

  /** The network has taken the last write. */
  writable(): void {
    this.progress?.end();
    this.#owner.active();
    this.#send(this.queue.writable);
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
    if (!this.queue.isWriteInFlight) return;
    // What is held is no fault of the peer: the handshake has a deadline of its own.
    if (this.queue.isHeld) return this.#owner.writeInFlight(false);
    this.progress ??= new OutputProgress(this.#socket, this.#owner.settings);
    const isFirst = !this.progress.isRunning;
    if (isFirst) this.progress.begin(this.#owner.settings.clock.now(), this.bytesOut);
    this.#owner.writeInFlight(isFirst);
  }
}
