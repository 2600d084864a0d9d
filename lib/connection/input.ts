import type { SchedulerLike } from 'rxjs';
import type { Paused } from '../events.ts';
import { describe } from '../options.ts';
import { endOfCallback, nextIteration } from '../time/eventLoop.ts';
import type { TransportSocket } from '../transport/transport.ts';
import type { LivenessPoller, Polled } from './livenessPoller.ts';
import type { MemoryBudget } from './memoryBudget.ts';
import { LOCAL_CAUSES, PauseCause, PauseTimes, withCause, withoutCause } from './pauses.ts';
import type { ByteSink, Follower } from './source.ts';

/** Who owns an input. */
export interface InputOwner {
  /** Whether the input is to complete at its next boundary. */
  readonly isDraining: boolean;
  /** Bytes came that somebody reads. */
  active(): void;
  /** A call of the sink is over: what it wrote may leave. */
  flush(): void;
  /** User code threw where RxJS does not catch it. */
  crashed(error: unknown): void;
  /** The input is over, one way or another. */
  inputOver(): void;
  /** The last cause on our side that held the input back has gone. */
  rested(): void;
  /** What is held of the input, in bytes, has changed. */
  weigh(): void;
  /** The peer has broken it off, unseen, or after a write had failed. */
  lost(): void;
  /** Memory is short: holds the input back. @param ready Whether it has something to work off. */
  waitForRoom(ready: boolean): void;
}

/** What the inputs of one listener have in common. */
export interface InputContext {
  readonly clock: SchedulerLike;
  readonly livenessPoller: LivenessPoller;
  readonly budget: MemoryBudget;
}

/** A read of this many bytes had more behind it: it filled libuv's buffer. */
const FULL = 64 * 1024;
/** So many full reads in a row, and others have their turn. libuv itself would go on for 32. */
const FULL_READS_A_TURN = 16;
/** Others have it sooner when the work on one of these took so many milliseconds. */
const TIME_A_READ = 5;

/**
 * The input of one connection: hands reads to a sink, and holds them back while somebody asks for it.
 *
 * Holding back is lazy. The socket goes on reading until something more comes, which is then kept: one read. So a handler
 * that is done before its peer speaks again costs no call of the system, and a peer that leaves meanwhile is noticed.
 */
export class Input implements Polled {
  /** Bytes received. */
  bytes = 0;
  /** The peer's FIN has come. */
  peerEnded = false;
  /** The sink is being called. */
  running = false;
  readonly #socket: TransportSocket;
  readonly #context: InputContext;
  readonly #owner: InputOwner;
  #sink: ByteSink | undefined;
  /** Framing operators behind other operators, those furthest downstream first. */
  #followers: Set<Follower> | undefined;
  #causes = 0;
  #pauseTimes: PauseTimes | undefined;
  /** What came while the input was held back. */
  #retained: Uint8Array | undefined;
  /** The peer's FIN came while the input was held back. */
  #endRetained = false;
  #fullReads = 0;
  /** Bytes that framing operators hold: of a frame that has not ended, or of frames that were held back. */
  #buffered = 0;
  /** Nothing can be sent any more: the end of the input is that of the connection. */
  #isLast = false;
  /** Framing operators that hold frames back. */
  #frames = 0;
  /** The socket is paused. */
  #isSocketPaused = true;
  /** The pulse looks after it meanwhile. */
  #isPolled = false;

  constructor(socket: TransportSocket, means: InputContext, owner: InputOwner) {
    this.#socket = socket;
    this.#context = means;
    this.#owner = owner;
  }

  /** Whether somebody reads. */
  get open(): boolean {
    return this.#sink !== undefined;
  }

  /** Whether somebody reads whose work is what is written. */
  get coupled(): boolean {
    return this.#sink !== undefined && this.#sink.uncoupled !== true;
  }

  get isPaused(): boolean {
    return this.#causes !== 0;
  }

  /** Whether the connection waits for the pipe to take it. */
  get waiting(): boolean {
    return (this.#causes & PauseCause.waiting) !== 0;
  }

  /** Whether there is part of a frame, and nothing that can be worked off. */
  get stuck(): boolean {
    return this.#buffered > 0 && !this.#hasWork;
  }

  /** Whether something has been read that can be worked off without reading more. */
  get #hasWork(): boolean {
    return this.#frames > 0 || this.#retained !== undefined;
  }

  /** Whether one of these causes holds the input back. */
  pausedBy(causes: number): boolean {
    return (this.#causes & causes) !== 0;
  }

  /** Whether the peer's FIN has come, and is held back. */
  get endRetained(): boolean {
    return this.#endRetained;
  }

  /** Bytes that have been read and not worked off. */
  get weight(): number {
    return this.#buffered + (this.#retained?.length ?? 0);
  }

  get needsPolling(): boolean {
    return this.#socket.needsPolling;
  }

  get alive(): boolean | undefined {
    return this.#socket.alive;
  }

  get paused(): Paused {
    return PauseTimes.sums(this.#pauseTimes, this.#causes, this.#context.clock.now());
  }

  /** Begins to read. */
  start(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#causes & PauseCause.unread) this.resume(PauseCause.unread);
    else if (this.#causes === 0) this.#resumeSocket();
  }

  /**
   * Nobody reads yet, and perhaps nobody ever will. As with whoever is held back one read is kept, and a peer that leaves is
   * noticed meanwhile.
   */
  waitForHandler(): void {
    this.pause(PauseCause.unread);
    this.#resumeSocket();
  }

  /**
   * A write has failed. What the peer sent before is read; a reader that is held back gets it when it is released.
   *
   * @param isAwaited Whether a reader may still come.
   * @returns Whether there may be something to read.
   */
  hearOut(isAwaited: boolean): boolean {
    if (this.peerEnded || (this.#sink === undefined && !isAwaited)) return false;
    this.#isLast = true;
    if (this.#holdsBack) return true;
    if (this.#endRetained) return false;
    if (isAwaited) this.pause(PauseCause.unread);
    if (this.#isSocketPaused) this.#resumeSocket();
    return true;
  }

  /** Whether a peer that does not take what is written holds the input back, and nothing else does. */
  get pausedByPeerOnly(): boolean {
    return (this.#causes & ~PauseCause.turn) === PauseCause.peer;
  }

  /** Whether something that has been read waits for a release. */
  get #holdsBack(): boolean {
    return this.#retained !== undefined || (this.#causes !== 0 && this.#buffered > 0);
  }

  /** The sink wants no more. */
  stop(sink: ByteSink): void {
    if (this.#sink !== sink) return;
    this.#sink = undefined;
    this.#owner.inputOver();
  }

  /** The sink gets its end, if it has not had it. */
  complete(): void {
    this.#finish((sink) => sink.complete());
  }

  /** The sink gets an error, if it has not ended. */
  fail(error: unknown): void {
    this.#finish((sink) => sink.error(error));
  }

  /** The input is to complete at its next boundary: at that of the last framing operator, else at that of the sink. */
  drain(): void {
    const decides = [...(this.#followers ?? [])].find((follower) => follower.drain) ?? this.#sink;
    if (decides?.drain) this.#call(() => decides.drain?.());
    else this.complete();
  }

  /** Adds a framing operator that is not the sink itself. @returns A function that takes it out again. */
  follow(follower: Follower): () => void {
    this.#followers ??= new Set();
    this.#followers.add(follower);
    return () => {
      this.#followers?.delete(follower);
      // Others may read the same input, and are asked next; but not before they have had what it has just had.
      if (this.#owner.isDraining && this.#sink !== undefined) endOfCallback(this.#context.clock, () => this.drain());
    };
  }

  /** Reads on, with nobody to read it: to see the peer's FIN or RST, and for our close to be a lingering one. */
  discard(): void {
    this.#setCauses(0);
    this.#retained = undefined;
    this.#owner.weigh();
    if (this.peerEnded) return;
    if (this.#endRetained) this.#end();
    else this.#resumeSocket();
  }

  /** The connection is gone. Its sink is told with an error, last. */
  leave(): ByteSink | undefined {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#retained = undefined;
    this.#setCauses(0);
    return sink;
  }

  reportBuffered(change: number, frames: number): void {
    const carried = this.#buffered + change;
    // What a decoder says goes into the sum of all connections, which a NaN would spoil for good.
    if (!Number.isSafeInteger(carried) || carried < 0) {
      const shown = describe(carried);
      return this.#owner.crashed(new TypeError(`Cannot frame: the decoder must hold 0 bytes or more, not ${shown}`));
    }
    this.#buffered = carried;
    this.#frames += frames;
    this.#owner.weigh();
  }

  pause(cause: number): void {
    this.#setCauses(withCause(this.#causes, cause));
  }

  resume(cause: number): void {
    const causes = withoutCause(this.#causes, cause);
    if (causes === this.#causes) return;
    this.#setCauses(causes);
    if (this.#causes === 0) this.#flow();
  }

  /** Gives way to the others, for one turn of the event loop. */
  yield(): void {
    if (this.#causes & PauseCause.turn) return;
    this.pause(PauseCause.turn);
    nextIteration(this.#context.clock, () => this.resume(PauseCause.turn));
  }

  received(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    // What is discarded does not count as activity: nobody stays by sending on and on what nobody reads.
    if (this.#sink === undefined && (this.#causes & PauseCause.unread) === 0) return;
    this.#owner.active();
    if (this.#causes !== 0 || this.#context.budget.passed) {
      this.#retained = this.#socket.borrows ? Uint8Array.prototype.slice.call(chunk) : chunk;
      if (this.#causes === 0) this.#owner.waitForRoom(true);
      this.#pauseSocket();
      this.#owner.weigh();
      return;
    }
    const isFull = chunk.length >= FULL;
    const began = isFull ? this.#context.clock.now() : 0;
    this.#deliver(chunk);
    // Whoever let go of it as he was called leaves it to be discarded.
    if (this.#sink === undefined) return;
    if (!isFull) {
      this.#fullReads = 0;
    } else if (++this.#fullReads === FULL_READS_A_TURN || this.#context.clock.now() - began >= TIME_A_READ) {
      this.#fullReads = 0;
      this.yield();
    }
    // Others have their turn at once. For any other cause the socket reads on until something comes, see above.
    if (this.#causes & PauseCause.turn) this.#pauseSocket();
  }

  ended(): void {
    const waits = this.#isLast ? this.#holdsBack : this.#causes !== 0 || this.#retained !== undefined;
    if (waits) this.#endRetained = true;
    else this.#end();
  }

  died(): void {
    if (!this.#isLast) this.#owner.lost();
  }

  #end(): void {
    this.#endRetained = false;
    if (this.#isLast) return this.#owner.lost();
    this.peerEnded = true;
    if (this.#sink) this.complete();
    else this.#owner.inputOver();
  }

  /** Goes on where it was held back: first what the sink holds, then what was kept, then the socket. */
  #flow(): void {
    if (this.#waits()) return;
    if (this.#followers) for (const follower of this.#followers) this.#call(() => follower.resume());
    const sink = this.#sink;
    if (sink?.resume) this.#call(() => sink.resume?.());
    const kept = this.#retained;
    if (this.#causes === 0 && kept !== undefined && !this.#waits()) {
      this.#retained = undefined;
      this.#owner.weigh();
      this.#deliver(kept);
    }
    if (this.#causes !== 0) return;
    if (!this.#endRetained) {
      if (this.#sink === undefined) return;
      if (this.#isSocketPaused && this.#context.budget.passed) this.#owner.waitForRoom(false);
      else this.#resumeSocket();
    } else if (!this.running) {
      // Else the sink is at work on what came before, and may be held again: whoever called it sees to the end.
      this.#end();
    }
  }

  /** Whether what could be worked off has to wait for memory. */
  #waits(): boolean {
    if (!this.#hasWork || !this.#context.budget.blocked) return false;
    this.#owner.waitForRoom(true);
    return true;
  }

  #deliver(chunk: Uint8Array): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.running = true;
    try {
      sink.next(chunk);
    } catch (error) {
      this.#owner.crashed(error);
    } finally {
      // Before the flag falls: the flush is part of the read.
      this.#owner.flush();
      this.running = false;
    }
  }

  #finish(end: (sink: ByteSink) => void): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#call(() => {
      this.#sink = undefined;
      end(sink);
    });
    this.#owner.inputOver();
  }

  /** Calls the sink outside a read: what it throws must not reach the event loop, and what it writes leaves together. */
  #call(work: () => void): void {
    const within = this.running;
    this.running = true;
    try {
      work();
    } catch (error) {
      this.#owner.crashed(error);
    } finally {
      if (!within) this.#owner.flush();
      this.running = within;
    }
  }

  #pauseSocket(): void {
    this.#isSocketPaused = true;
    this.#socket.pause();
    this.#updatePolling();
  }

  #resumeSocket(): void {
    this.#isSocketPaused = false;
    this.#socket.resume();
    this.#updatePolling();
  }

  #setCauses(causes: number): void {
    // The turns of others are nobody's fault.
    const before = this.#causes & ~PauseCause.turn;
    const after = causes & ~PauseCause.turn;
    const rests = (this.#causes & LOCAL_CAUSES) !== 0 && (causes & LOCAL_CAUSES) === 0;
    this.#causes = causes;
    if (rests) this.#owner.rested();
    if (before === after) return;
    this.#pauseTimes ??= new PauseTimes();
    this.#pauseTimes.change(before, this.#context.clock.now());
    this.#updatePolling();
  }

  /** Whoever is paused would not notice that his peer is gone; but for a turn nobody needs to look. */
  #updatePolling(): void {
    const isDeaf = this.#isSocketPaused && (this.#causes & ~PauseCause.turn) !== 0;
    if (isDeaf === this.#isPolled) return;
    this.#isPolled = isDeaf;
    if (isDeaf) this.#context.livenessPoller.add(this);
    else this.#context.livenessPoller.delete(this);
  }
}
