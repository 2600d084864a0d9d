import { endOfCallback, nextIteration } from '../time/eventLoop.ts';
import type { TransportSocket } from '../transport/transport.ts';
import type { MemoryBudget } from './memoryBudget.ts';
import { OperatedReads, type OperatedReadsOwner } from './operatedReads.ts';
import type { Output } from './output.ts';
import type { ReadsContext } from './pausableReads.ts';
import { PauseCause } from './pauses.ts';
import type { ByteSink } from './source.ts';
import type { Watchdog } from './watchdog.ts';

/** What an input reads from its connection, and reports to it. */
export interface InputOwner extends OperatedReadsOwner {
  readonly output: Output;
  readonly watchdog: Watchdog;
  readonly settings: InputContext;
  /** Whether the input is to complete at its next boundary. */
  readonly isDraining: boolean;
  /** Whether we have ended or aborted the connection. */
  readonly over: boolean;
  /** The input is over: completed, failed, or unsubscribed. */
  inputOver(): void;
  /** The last cause on our side that paused the input has ended. */
  rested(): void;
  /** The peer has reset the connection, unseen, or the input ended after a write had failed. */
  lost(): void;
}

/** What the inputs of one listener have in common. */
export interface InputContext extends ReadsContext {
  readonly budget: MemoryBudget;
}

/** A read of this many bytes filled libuv's buffer, so more may be waiting. */
const FULL = 64 * 1024;
/** After so many full reads in a row, other connections are served. libuv itself would go on for 32. */
const FULL_READS_PER_ITERATION = 16;
/** They are served earlier if the work on one full read took so many milliseconds. */
const TIME_PER_READ = 5;

const complete = (sink: Pick<ByteSink, 'complete'>) => sink.complete();
const drain = (sink: Pick<ByteSink, 'drain'>) => sink.drain?.();
const resume = (sink: Pick<ByteSink, 'resume'>) => sink.resume?.();

/**
 * The input of one connection: passes reads to a sink, and retains what comes while it is paused.
 *
 * At most one read is retained, because the socket is stopped with it.
 */
export class Input extends OperatedReads {
  /** Bytes received. */
  bytes = 0;
  /** The peer's FIN has been passed on. */
  peerEnded = false;
  readonly #owner: InputOwner;
  #sink: ByteSink | undefined;
  /** A sink that has ended. Operators behind it may still hold frames, which are passed on as pauses end. */
  #endedSink: ByteSink | undefined;
  /** What came while the input was paused. */
  #retained: Uint8Array | undefined;
  /** The peer's FIN came while the input was paused. */
  #endRetained = false;
  #fullReads = 0;
  /** Nothing can be sent any more, so the end of the input is the end of the connection. */
  #isLast = false;

  constructor(socket: TransportSocket, owner: InputOwner) {
    super(socket);
    this.#owner = owner;
  }

  protected get context(): InputContext {
    return this.#owner.settings;
  }

  protected get owner(): InputOwner {
    return this.#owner;
  }

  /** Whether there is a sink. */
  get open(): boolean {
    return this.#sink !== undefined;
  }

  /** Whether there is a sink, or held frames, whose results are what is written. */
  get coupled(): boolean {
    return (this.open || this.holdsFrames) && (this.#sink ?? this.#endedSink)?.uncoupled !== true;
  }

  /** Whether part of a frame is held, and nothing that can be worked off. */
  get holdsPartOfFrame(): boolean {
    return this.heldBytes > 0 && !this.#hasWork;
  }

  /** Whether something can be worked off without reading more. */
  get #hasWork(): boolean {
    return this.holdsFrames || this.#retained !== undefined;
  }

  /** Whether the peer's FIN has come, and is retained. */
  get endRetained(): boolean {
    return this.#endRetained;
  }

  /** Bytes that have been read and not worked off. */
  get weight(): number {
    return this.heldBytes + (this.#retained?.length ?? 0);
  }

  /** Begins to read. */
  start(sink: ByteSink): void {
    this.#sink = sink;
    if (this.pausedBy(PauseCause.unread)) this.resume(PauseCause.unread);
    else if (!this.isPaused) this.startSocket();
  }

  /** Receives bytes that were read before the connection had a handler. They wait for the first sink. */
  unshift(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.pause(PauseCause.unread);
    this.#retained = bytes;
    this.#owner.weigh();
  }

  /** A sink that comes after the end: it completes. */
  startAtEnd(sink: ByteSink): void {
    this.#sink = sink;
    this.endCause(PauseCause.unread);
    this.complete();
  }

  /** The handler has not subscribed, and may never do so. One read is retained, and a peer that leaves is noticed meanwhile. */
  waitForHandler(): void {
    this.pause(PauseCause.unread);
    // What came behind a PROXY header is such a read already.
    if (this.#retained === undefined) this.startSocket();
  }

  /**
   * A write has failed. What the peer sent before is read; a sink that is paused receives it when it resumes.
   *
   * @param isAwaited Whether a sink may still come.
   * @returns Whether there may be something to read.
   */
  readRemaining(isAwaited: boolean): boolean {
    if (this.peerEnded || (this.#sink === undefined && !isAwaited)) return false;
    this.#isLast = true;
    if (this.#holdsBack) return true;
    if (this.#endRetained) return false;
    if (isAwaited) this.pause(PauseCause.unread);
    if (this.isStopped) this.startSocket();
    return true;
  }

  /** Whether something that has been read waits for the end of a pause. */
  get #holdsBack(): boolean {
    return this.#retained !== undefined || (this.isPaused && this.heldBytes > 0);
  }

  /** The sink unsubscribes. */
  stop(sink: ByteSink): void {
    if (this.#endedSink === sink) this.#endedSink = undefined;
    if (this.#sink !== sink) return;
    this.#sink = undefined;
    this.#owner.inputOver();
  }

  /** Completes the sink, if it has not ended. */
  complete(): void {
    this.#finish(complete);
  }

  /** The sink receives an error, if it has not ended. */
  fail(error: unknown): void {
    this.#finish((sink) => sink.error(error));
  }

  /** Asks for the end at the next boundary: at that of the last framing operator, else at that of the sink. */
  drain(): void {
    const decides = [...this.followers].find(({ drain }) => drain) ?? this.#sink ?? this.#endedSink;
    if (decides?.drain) this.#owner.output.corkWhile(drain, decides);
    else this.complete();
    // It may have ended a pause.
    if (this.#endRetained && !this.isPaused && this.#retained === undefined) this.#end();
  }

  protected unfollowed(): void {
    // Other operators may read the same input, and are asked next; but not before they have received the current chunk.
    if (this.#owner.isDraining && (this.open || this.holdsFrames))
      endOfCallback(this.context.clock, () => this.drain());
  }

  protected framesPassed(): void {
    // The end of the input had to wait for these frames.
    if (!this.holdsFrames && !this.open) this.#owner.inputOver();
  }

  /**
   * Reads and discards, to see the peer's FIN or RST, and because our close is to linger. Unless we have ended the connection,
   * frames that operators still hold are passed on as before, and the pauses of those that receive them go on.
   */
  discard(): void {
    if (!this.holdsFrames || this.#owner.over) this.setCauses(0);
    this.#retained = undefined;
    this.#owner.weigh();
    if (this.peerEnded) return;
    if (this.#endRetained) this.#end();
    else this.startSocket();
  }

  /** The connection is detached. @returns What is to receive an error last. */
  leave(): Pick<ByteSink, 'error'> | undefined {
    const last = this.#sink ?? this.#held();
    this.#sink = this.#endedSink = undefined;
    this.#retained = undefined;
    this.setCauses(0);
    return last;
  }

  /** What holds frames after the end of the input. */
  #held(): Pick<ByteSink, 'error' | 'complete'> | undefined {
    if (this.open || !this.holdsFrames) return undefined;
    const all = [this.#endedSink, ...this.followers];
    return {
      error(error) {
        for (const one of all) one?.error?.(error);
      },
      complete() {
        for (const one of all) one?.complete?.();
      },
    };
  }

  resume(cause: number): void {
    if (this.endCause(cause)) this.#flow();
  }

  /** Pauses for one event-loop iteration, so that other connections are served. */
  yield(): void {
    if (this.pausedBy(PauseCause.yield)) return;
    this.pause(PauseCause.yield);
    nextIteration(this.context.clock, () => this.resume(PauseCause.yield));
  }

  received(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    // Discarded bytes do not count as activity; otherwise a peer could stay connected by sending data that is never read.
    if (this.#sink === undefined && !this.pausedBy(PauseCause.unread)) return;
    this.#owner.watchdog.received();
    if (this.isPaused || this.context.budget.isShort) return this.#retain(chunk);
    const isFull = chunk.length >= FULL;
    const began = isFull ? this.context.clock.now() : 0;
    this.#deliver(chunk);
    // The sink may have unsubscribed as it was called; the rest is discarded.
    if (this.#sink === undefined) return;
    if (!isFull) {
      this.#fullReads = 0;
    } else if (++this.#fullReads === FULL_READS_PER_ITERATION || this.context.clock.now() - began >= TIME_PER_READ) {
      this.#fullReads = 0;
      this.yield();
    }
    // Other connections are served at once. For any other cause the socket reads on until one more chunk has come.
    if (this.pausedBy(PauseCause.yield)) this.stopSocket();
  }

  /** The peer sent a FIN. */
  ended(): void {
    const waits = this.#isLast ? this.#holdsBack : this.isPaused || this.#retained !== undefined;
    if (waits) this.#endRetained = true;
    else this.#end();
  }

  died(): void {
    if (!this.#isLast) this.#owner.lost();
  }

  protected localCausesEnded(): void {
    this.#owner.rested();
  }

  #retain(chunk: Uint8Array): void {
    this.#retained = this.borrowed ? Uint8Array.prototype.slice.call(chunk) : chunk;
    if (!this.isPaused) this.#owner.pauseForMemory(true);
    this.stopSocket();
    this.#owner.weigh();
  }

  #end(): void {
    this.#endRetained = false;
    if (this.#isLast) return this.#owner.lost();
    this.peerEnded = true;
    if (this.#sink) this.complete();
    else this.#owner.inputOver();
  }

  /**
   * Continues where the input was paused: first with what framing operators hold, then with what was retained, then with the
   * socket.
   */
  #flow(): void {
    if (this.#mustWait()) return;
    for (const follower of this.followers) this.#owner.output.corkWhile(resume, follower);
    const sink = this.#sink ?? this.#endedSink;
    if (sink?.resume) this.#owner.output.corkWhile(resume, sink);
    const { holders } = this;
    const retained = this.#retained;
    if (!this.isPaused && retained !== undefined && !this.#mustWait()) {
      this.#retained = undefined;
      this.#owner.weigh();
      this.#deliver(retained);
    }
    if (this.isPaused) return;
    if (!this.#endRetained) {
      if (this.#sink === undefined) return;
      // An operator that holds back what it has just received is resumed once more for that.
      if (this.isStopped && this.context.budget.isShort) this.#owner.pauseForMemory(this.holders > holders);
      else this.startSocket();
    } else if (!this.#owner.output.isCorked) {
      // While the sink is called, it may pause again; then the caller of the sink sees to the end.
      this.#end();
    }
  }

  /** Whether what could be worked off has to wait for memory. */
  #mustWait(): boolean {
    if (!this.#hasWork || !this.context.budget.isShortOfOutput) return false;
    this.#owner.pauseForMemory(true);
    return true;
  }

  #deliver(chunk: Uint8Array): void {
    if (this.#sink !== undefined) this.#owner.output.corkWhileReceiving(this.#sink, chunk);
  }

  #finish(end: (sink: Pick<ByteSink, 'error' | 'complete'>) => void): void {
    const sink = this.#sink;
    if (sink === undefined) {
      // We end the connection: what is held is dropped, and its subscriber is notified.
      const held = this.#owner.over ? this.#held() : undefined;
      if (held) this.#owner.output.corkWhile(end, held);
      return;
    }
    this.#endedSink = sink;
    this.#sink = undefined;
    this.#owner.output.corkWhile(end, sink);
    this.#owner.inputOver();
  }
}
