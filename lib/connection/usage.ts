import { type Observable, type SchedulerLike, Subscription, type Unsubscribable } from 'rxjs';
import { AlreadySubscribedError } from '../errors.ts';
import { endOfCallback, nextIteration } from '../time/eventLoop.ts';
import type { Input } from './input.ts';
import type { Output } from './output.ts';
import { LOCAL_CAUSES } from './pauses.ts';
import type { ByteSink } from './source.ts';
import type { Watchdog } from './watchdog.ts';
import type { Data } from './writeQueue.ts';

/** What writes to a connection and ends it: `send()`, or the handler of `serve`. */
export interface Sender {
  /** The connection ends: the source is unsubscribed within this call. */
  stop(): void;
  /** All that was written has been sent, or the connection is closed. */
  flushed(): void;
  /** The socket is closed. Not called if it was closed before there was a sender. */
  freed(): void;
  /** User code threw where only the connection could catch it. */
  fail(error: unknown): void;
  /** The connection has finished as it was asked to. @returns What to send before our FIN. It does not throw. */
  lastCall?(): Data | undefined;
}

/** What the usage reads from its connection, and calls on it. */
export interface UsageOwner {
  readonly id: number;
  readonly clock: SchedulerLike;
  readonly input: Input;
  readonly output: Output;
  readonly watchdog: Watchdog;
  readonly closed: Observable<unknown>;
  readonly halfOpen: boolean;
  readonly isDraining: boolean;
  readonly over: boolean;
  readonly isDetached: boolean;
  readonly isSocketClosed: boolean;
  /** An operator uses the connection. @returns Whether there is a peer to serve. */
  take(): boolean;
  end(): void;
  /** The socket is closed, and what was retained of its input is consumed. */
  freed(): void;
  crashed(error: unknown): void;
  inContext(work: () => void): void;
}

/** The subscription of what reads the input. It is not a Subscription of RxJS, which takes twice the memory. */
class Reading implements Unsubscribable {
  readonly #input: Input;
  readonly #sink: ByteSink;

  constructor(input: Input, sink: ByteSink) {
    this.#input = input;
    this.#sink = sink;
  }

  unsubscribe(): void {
    this.#input.stop(this.#sink);
  }
}

/** The work for one peer, as far as it is seen. */
class Work {
  /** Pieces of work in progress, such as requests without a complete reply. */
  readonly pieces = new Set<object>();
  /** A generator that is the handler has been asked for its next value. */
  isAsked = false;
  /** Callbacks that wait for the end of the work. */
  resting: (() => void)[] | undefined;
}

/**
 * What uses a connection: one subscription of its input, one sender, and the work that is done for the peer.
 *
 * While something uses it, the end of its input does not end it. While there is work, the silence of its peer is not idleness.
 */
export class Usage {
  sender: Sender | undefined;
  isSubscribed = false;
  /** What is written says nothing about the frames that the handler keeps: see `Hoarding`. */
  isUnmeasured = false;
  readonly #connection: UsageOwner;
  /** There was one subscription or sender too many. */
  #isMisused = false;
  /** What must be done before the connection ends by itself: the sender, and loops over its frames. */
  #users = 0;
  /** Made when the work for the peer can first be seen; a handler that only passes values on has none. */
  #work: Work | undefined;

  constructor(connection: UsageOwner) {
    this.#connection = connection;
  }

  /** Whether the library or the handler works for the peer. */
  get busy(): boolean {
    const { input } = this.#connection;
    const work = this.#work;
    if ((work !== undefined && work.pieces.size > 0) || input.pausedBy(LOCAL_CAUSES)) return true;
    // While the input is open, a generator or a loop may be waiting for just that.
    return !input.open && (work?.isAsked === true || this.#loops > 0);
  }

  /** Whether work for the peer has been seen: something bounds it. */
  get hasSeenWork(): boolean {
    return this.#work !== undefined;
  }

  /** Subscribes in place. */
  read(sink: ByteSink): Unsubscribable {
    const connection = this.#connection;
    if (this.isSubscribed) {
      const error = new AlreadySubscribedError(connection.id, 'subscribed to');
      if (this.#isRepeated(error)) return this.#whenClosed(() => sink.complete());
      sink.error(error);
      return Subscription.EMPTY;
    }
    this.isSubscribed = true;
    if (!connection.take()) {
      const subscription = new Subscription();
      // It was refused, or its peer left, while it waited. The sink completes later, because an inner stream that completes
      // while it is being subscribed makes mergeMap recurse, as deep as its buffer is long, and mergeMap may stop for ever.
      endOfCallback(connection.clock, () => connection.inContext(() => !subscription.closed && sink.complete()));
      return subscription;
    }
    if (connection.isDraining || connection.over || connection.input.peerEnded) {
      connection.input.startAtEnd(sink);
    } else {
      connection.input.start(sink);
      // A generator that was asked for a value waits for the input now.
      if (this.#work?.isAsked) this.rested();
    }
    return new Reading(connection.input, sink);
  }

  /** Makes something the sender. @returns Whether there is a peer to send to. */
  attach(sender: Sender): boolean {
    const connection = this.#connection;
    if (this.sender) {
      const error = new AlreadySubscribedError(connection.id, 'given a sender');
      if (!this.#isRepeated(error)) throw error;
      this.#whenClosed(() => sender.flushed());
      return false;
    }
    this.sender = sender;
    this.#users++;
    if (connection.take() && !connection.over) return true;
    if (connection.isDetached || connection.output.queue.finished)
      endOfCallback(connection.clock, () => connection.inContext(() => sender.flushed()));
    return false;
  }

  /** Its handler runs. A handler that does not read must still be stopped when its peer leaves. */
  handlerStarted(): void {
    if (!this.isSubscribed && !this.#connection.over) this.#connection.input.waitForHandler();
  }

  /** Keeps the connection from ending by itself when its input is over. @returns A function that releases it. */
  retain(): () => void {
    let isRetained = true;
    this.#users++;
    return () => {
      if (isRetained) this.#users--;
      isRetained = false;
      this.inputOver();
      this.rested();
    };
  }

  /** The input is over: without a user, and frames that are held for it, the connection ends; else further input is discarded. */
  inputOver(): void {
    const connection = this.#connection;
    const { input } = connection;
    if (input.open || connection.isDetached) return;
    if (this.isSubscribed) {
      if (this.#users > 0 || input.holdsFrames || connection.isSocketClosed) input.discard();
      else connection.end();
    }
    if (input.holdsFrames && !connection.over) return;
    // Only the end of its input kept it. It is freed later, because what ended the input may have an error to report.
    if (connection.isSocketClosed) endOfCallback(connection.clock, () => connection.freed());
    else if (this.#isDeserted) this.#endDeserted();
  }

  /** A piece of work begins: until it ends, the peer is not idle. */
  workBegun(piece: object): void {
    this.#seen.pieces.add(piece);
  }

  workEnded(piece: object): void {
    if (this.#work?.pieces.delete(piece)) this.rested();
  }

  /** Says whether the generator that is the handler is asked for its next value, or waits for room. */
  working(isAsked: boolean): void {
    // It has finished the value that it was asked for, and is not asked for another.
    const work = this.#seen;
    if (isAsked && work.isAsked && this.#isDeserted && this.#loops === 0) return this.#connection.end();
    work.isAsked = isAsked;
    if (!isAsked) this.rested();
  }

  /** Calls back, once, when the work is over. */
  whenRested(callback: () => void): void {
    const work = this.#seen;
    work.resting ??= [];
    work.resting.push(callback);
  }

  /** A piece of work, or a cause of a pause on our side, has ended: if it was the last, the idle time of the peer begins. */
  rested(): void {
    if (this.#connection.over || this.busy) return;
    if (this.#isDeserted) this.#endDeserted();
    this.#connection.watchdog.rested();
    const resting = this.#work?.resting;
    if (this.#work === undefined || resting === undefined) return;
    this.#work.resting = undefined;
    for (const callback of resting) callback();
  }

  get #seen(): Work {
    this.#work ??= new Work();
    return this.#work;
  }

  /** Loops over the frames that still hold the connection: the body of one is running when the input is over. */
  get #loops(): number {
    return this.sender ? this.#users - 1 : this.#users;
  }

  /** The peer's FIN has been handed on, and means that the peer does not read either. */
  get #isDeserted(): boolean {
    return !this.#connection.halfOpen && this.#connection.input.peerEnded;
  }

  /** Ends the connection unless there is work in progress. Not at once: a loop that has ended may write a last time. */
  #endDeserted(): void {
    const connection = this.#connection;
    if (connection.over || this.busy) return;
    nextIteration(connection.clock, () => !this.busy && connection.end());
  }

  /**
   * The first use too many is an error of its subscriber. An operator that tries again, such as `retry()`, would do so until
   * the stack is full: the second one fails the connection, and ends with it.
   */
  #isRepeated(error: AlreadySubscribedError): boolean {
    const isRepeated = this.#isMisused;
    this.#isMisused = true;
    if (isRepeated && !this.#connection.over) this.#connection.crashed(error);
    return isRepeated;
  }

  /** Calls back when the connection is closed; in a later event-loop iteration, because the callback may lead here again. */
  #whenClosed(work: () => void): Subscription {
    const { clock, closed } = this.#connection;
    const subscription = new Subscription();
    subscription.add(closed.subscribe(() => nextIteration(clock, () => !subscription.closed && work())));
    return subscription;
  }
}
