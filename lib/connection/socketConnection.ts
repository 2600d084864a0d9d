import { AsyncResource } from 'node:async_hooks';
import { Observable, type OperatorFunction, type SchedulerLike, type Subscriber, Subscription } from 'rxjs';
import {
  AlreadySubscribedError,
  ConnectionClosedError,
  DeadlineError,
  EvictedError,
  isA,
  SlowConsumerError,
} from '../errors.ts';
import type { Closed, CloseReason, Paused } from '../events.ts';
import { checkArgument, describe, isData, text } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { endOfCallback, nextIteration } from '../time/eventLoop.ts';
import { TurnQuota } from '../time/turnQuota.ts';
import type { Address, SocketHandler, TransportSocket } from '../transport/transport.ts';
import { closeReason } from './closeReason.ts';
import { Connection } from './connection.ts';
import { flushLater } from './flushLater.ts';
import { Input, type InputContext, type InputOwner } from './input.ts';
import type { Holder } from './memoryBudget.ts';
import { Credit, type Pace, unseen } from './pace.ts';
import { FRAME_CLOCK_STOPS, LOCAL_CAUSES, PauseCause } from './pauses.ts';
import { type Sender, send } from './send.ts';
import type { ByteSink, Follower, SourceControl } from './source.ts';
import { hasStack, onEmptyStack } from './stack.ts';
import { byteLength, type Data, type Limits, notData, type Overrun, WriteQueue } from './writeQueue.ts';

/** What all connections of one listener have in common. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectionSettings extends InputContext, Limits {
  /** Whether a handler may go on sending after the peer's FIN. */
  readonly halfOpen: boolean;
  /** How long to go on reading after our FIN. */
  readonly linger: number;
  /** How long the peer may take nothing of what is written. */
  readonly stall: number;
  /** How slowly it may send or take anything. */
  readonly pace: Pace;
  /** The async context in which listening was begun. Nothing runs in it but in a child, or what that enters would stay. */
  readonly context: AsyncResource;
}

/** The deadlines of a served connection, in milliseconds; `Infinity` for none. */
export interface Deadlines {
  /** Silence in both directions. */
  readonly idle: number;
  /** Until the first byte. */
  readonly greeting: number;
  /** From the first byte of a frame to its last. */
  readonly frame: number;
  /** From when the work on a request begins until its reply is complete. */
  readonly reply: number;
  /** How long it may take to finish when it is asked to because its lifetime is over. */
  readonly grace: number;
}

/** Who is told of a connection's turning points. */
export interface ConnectionOwner {
  /** The pipe took it: it was subscribed, or somebody began to send. */
  taken(connection: SocketConnection): void;
  /** The pipe came to it when it had been sent away already, or its client had left. */
  missed(connection: SocketConnection): void;
  /** Somebody downstream does not want it. */
  refuse(connection: SocketConnection, reason: string): void;
  /** Its socket is gone. */
  closed(connection: SocketConnection, closed: Closed): void;
}

/** The subscription of one who reads. */
class Reading extends Subscription {
  readonly #input: Input;
  readonly #sink: ByteSink;

  constructor(reads: Input, sink: ByteSink) {
    super();
    this.#input = reads;
    this.#sink = sink;
  }

  override unsubscribe(): void {
    if (!this.closed) this.#input.stop(this.#sink);
    super.unsubscribe();
  }
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

const checkDetail = (what: string, detail: string | undefined) => {
  if (detail !== undefined) checkArgument(`${what} a connection`, 'detail', detail, text);
};

const NEVER = Number.POSITIVE_INFINITY;

const reset = () => new Error('the peer has reset the connection');

const NO_DEADLINES: Deadlines = { idle: NEVER, greeting: NEVER, frame: NEVER, reply: NEVER, grace: NEVER };

/** So much of a turn's output, in characters or bytes, is handed on before the turn is over. */
const EARLY = 64 * 1024;

/** A {@link Connection} on a socket of the transport. */
export class SocketConnection
  extends Connection
  implements SocketHandler, InputOwner, DeadlineOwner, SourceControl, Holder
{
  readonly id: number;
  readonly peer: Address;
  readonly openedAt = Date.now();
  /** Its owner counts it as waiting: neither taken, nor refused, nor gone. */
  counted = true;

  readonly #socket: TransportSocket;
  readonly #settings: ConnectionSettings;
  readonly #owner: ConnectionOwner;
  readonly #input: Input;
  readonly #queue: WriteQueue;
  readonly #timer: DeadlineTimer;
  /**
   * The async context in which it was accepted. User code is called in it wherever the caller may be at work for another
   * connection: in a callback that several share, or in a call of the other's handler. Reads have that of their own socket.
   */
  readonly #context = new AsyncResource('SluiceConnection');
  #deadlines = NO_DEADLINES;
  #sender: Sender | undefined;
  /** Who must be done before the connection ends by itself: the sender, and loops over its frames. */
  #users = 0;
  /** Pieces of the handler's work in progress, such as requests that have no reply yet. Made with the first of them. */
  #works: Set<object> | undefined;
  /** A generator that is the handler is asked for its next value. */
  #asked = false;
  /** Deadlines that wait for our own work to be over. */
  #resting: (() => void)[] | undefined;
  #observers: Set<() => void> | undefined;
  #attended: { freed(): void } | undefined;
  /** Who waits for the output to have room. */
  #waiters: (() => void)[] | undefined;
  /** Of a turn of the event loop, for whoever writes without being a stream. */
  #share: TurnQuota | undefined;
  /** That he may go on writing. */
  #room: Promise<void> | undefined;
  /** The first reason wins, and with it the error that goes along. */
  #reason: CloseReason | undefined;
  #error: unknown;
  /** What an operator has found wrong with the input, whether or not it is the reason. */
  #inputError: unknown;
  /** What the server said as it ended or broke it off. */
  #detail: string | undefined;
  #closed: Closed | undefined;
  #taken = false;
  #subscribed = false;
  /** It was subscribed, or given a sender, once too often. */
  #misused = false;
  #draining = false;
  /** We send no more: what is written is on its way, then our FIN, then the linger. */
  #ending = false;
  /** The handler is out, and the socket is gone or going. */
  #gone = false;
  /** Not all have been told so. */
  #untold = false;
  /** The socket is gone, whatever the handler is. */
  #freed = false;
  /** Moments, in milliseconds of the clock; those that most connections never have are not there until they are. */
  readonly #acceptedAt: number;
  #takenAt = NEVER;
  #activeAt: number;
  #progressAt: number | undefined;
  /** Of a peer that does not keep up, while output is pending. */
  #credit: Credit | undefined;
  #destroyAt: number | undefined;
  #lifeEndsAt: number | undefined;
  /** When the socket went: what was unsent then. */
  #left = 0;
  /** What had been sent when the output last made progress; once gone: the last figure. */
  #bytesOut = 0;
  #paused: Paused | undefined;
  /** Bytes that others hold for this connection. */
  #elsewhere = 0;
  /** What read, when the connection went, and is to hear of it. */
  #bereft: ByteSink | undefined;
  /** What the budget has been told: all, and the output alone. */
  #weight = 0;
  #output = 0;

  constructor(id: number, socket: TransportSocket, settings: ConnectionSettings, owner: ConnectionOwner) {
    super();
    this.id = id;
    this.peer = socket.peer;
    this.#socket = socket;
    this.#settings = settings;
    this.#owner = owner;
    this.#input = new Input(socket, settings, this);
    this.#queue = new WriteQueue(socket, settings);
    this.#timer = new DeadlineTimer(settings.clock, this);
    this.#acceptedAt = this.#activeAt = settings.clock.now();
    socket.handler = this;
  }

  get local(): Address {
    return this.#socket.local;
  }

  get bytesIn(): number {
    return this.#input.bytes;
  }

  get bytesOut(): number {
    return this.#gone ? this.#bytesOut : this.#socket.bytesWritten - this.#socket.pending;
  }

  get unsent(): number {
    return this.#gone ? this.#left : this.#queue.unsent;
  }

  get dropped(): number {
    return this.#queue.dropped;
  }

  get paused(): Paused {
    return this.#paused ?? this.#input.paused;
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  send(): OperatorFunction<Data | undefined, never> {
    return send(this);
  }

  write(data: Data): Promise<void> {
    const over = () => this.#gone || this.#queue.ended;
    const waits = () => !over() && (this.congested || this.blocked);
    if (!over()) this.push(data);
    // However many write and do not wait, there is one promise of room.
    if (this.#room !== undefined) return this.#room;
    // Promises that are resolved at once would keep the event loop from all other connections.
    this.#share ??= new TurnQuota(this.clock);
    const hasRoom = !over() && !waits();
    if (hasRoom && !this.#share.spend()) return Promise.resolve();
    const room = new Promise<void>((kept, broken) => {
      const look = () => {
        if (waits()) return this.whenRoom(look);
        this.#room = undefined;
        if (over()) broken(this.#closedError());
        else kept();
      };
      if (hasRoom) nextIteration(this.clock, look);
      else look();
    });
    room.catch(() => {});
    if (!over()) this.#room = room;
    return room;
  }

  end(detail?: string): void {
    checkDetail('end', detail);
    if (this.#ending || this.#gone) return;
    if (hasStack('end')) this.endNow(detail);
    else onEmptyStack(() => this.end(detail));
  }

  /** The same for a caller that has seen to the stack. */
  endNow(detail?: string): void {
    if (this.#ending || this.#gone) return;
    this.#ending = true;
    this.#detail = detail;
    this.#reason ??= this.#draining ? 'drained' : this.#input.peerEnded ? 'ended' : 'completed';
    this.inContext(this.#finishOutput);
    // Whoever ends one that waits does not want it.
    this.refuse(detail);
  }

  halfClose(): void {
    if (this.#ending || this.#gone || this.#queue.ended) return;
    if (!hasStack('halfClose')) return onEmptyStack(() => this.halfClose());
    this.#queue.end();
    this.#trackOutput();
  }

  abort(detail?: string): void {
    checkDetail('abort', detail);
    if (!hasStack('abort')) return onEmptyStack(() => this.abort(detail));
    if (!this.#gone) this.#detail = detail ?? this.#detail;
    this.#breaks('aborted');
    this.#break();
    this.refuse(detail);
  }

  refuse(reason = 'unwanted'): void {
    if (!this.#taken) this.#owner.refuse(this, reason);
  }

  drain(): void {
    if (this.#draining || this.#ending || this.#gone) return;
    if (!hasStack('drain')) return onEmptyStack(() => this.drain());
    this.#draining = true;
    this.inContext(this.#finishInput);
  }

  get draining(): Observable<void> {
    return this.#observe((to) => {
      if (this.#draining) to.next();
      return this.#draining || this.#closed !== undefined;
    });
  }

  get closed(): Observable<Closed> {
    return this.#observe((to) => {
      if (this.#closed) to.next(this.#closed);
      return this.#closed !== undefined;
    });
  }

  // What operators ask for (Gate) -------------------------------------------------------------------------------------

  get control(): SourceControl {
    return this;
  }

  get clock(): SchedulerLike {
    return this.#settings.clock;
  }

  get borrowed(): boolean {
    return this.#socket.borrows;
  }

  get isPaused(): boolean {
    return this.#input.isPaused;
  }

  stop(): boolean {
    if (this.#input.isPaused) return true;
    if (!this.blocked || this.over) return false;
    this.waitForRoom(true);
    return true;
  }

  get frameTimeout(): number {
    return this.#deadlines.frame;
  }

  get pace(): Pace {
    return this.#settings.pace;
  }

  /** The reply deadline of an `exchange` that sets none of its own. */
  get replyTimeout(): number {
    return this.#deadlines.reply;
  }

  get lastActivity(): number {
    this.#look();
    return this.#activeAt;
  }

  get silentSince(): number {
    this.#look();
    if (this.#progressAt === undefined) return this.#activeAt;
    // What is pending may be going all the while.
    return Math.max(this.#activeAt, this.#progressAt + this.#unseen);
  }

  get busy(): boolean {
    if ((this.#works !== undefined && this.#works.size > 0) || this.#input.pausedBy(LOCAL_CAUSES)) return true;
    // While the input flows a generator or a loop may be waiting for just that.
    return !this.#input.open && (this.#asked || this.#loops > 0);
  }

  /** Loops over the frames that have not let go: the body of one is at work when the input is over. */
  get #loops(): number {
    return this.#sender ? this.#users - 1 : this.#users;
  }

  whenRested(look: () => void): void {
    this.#resting ??= [];
    this.#resting.push(look);
  }

  get detained(): boolean {
    return this.#input.pausedBy(FRAME_CLOCK_STOPS);
  }

  get detainedFor(): number {
    const { peer, handler } = this.#input.paused;
    return peer + handler;
  }

  yield(): void {
    this.#input.yield();
  }

  reportBuffered(change: number, frames: number): void {
    this.#input.reportBuffered(change, frames);
  }

  follow(follower: Follower): () => void {
    return this.#input.follow(follower);
  }

  closeAs(error: unknown): void {
    this.#inputError = error;
    this.#closeAs(closeReason(error), error);
  }

  /**
   * The handler failed, with whatever error: one of another connection, or one that only looks like an error of this
   * input, is its fault.
   */
  closeAsFailed(error: unknown): void {
    this.#closeAs('failed', error);
  }

  /** Whether this is what is wrong with the connection's own input, and not a failure of the handler. */
  isInputError(error: unknown): boolean {
    return error !== undefined && error === this.#inputError;
  }

  #closeAs(reason: CloseReason, error: unknown): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#error = error;
  }

  /** Holds the input back, for a cause. */
  pause(cause: number): void {
    if (!this.#gone && !this.#ending) this.#input.pause(cause);
  }

  /** Takes a cause back; the input flows when the last one is gone. */
  resume(cause: number): void {
    if (!this.#gone) this.#input.resume(cause);
  }

  borrow(sink: ByteSink): Subscription {
    if (this.#subscribed) {
      const error = new AlreadySubscribedError(this.id, 'subscribed to');
      if (this.#isRepeated(error)) return this.#whenClosed(() => sink.complete());
      sink.error(error);
      return Subscription.EMPTY;
    }
    this.#subscribed = true;
    const subscription = new Reading(this.#input, sink);
    if (!this.#take()) {
      // It was refused, or its client left, while the pipe was full. Not at once: an inner stream that completes while it
      // is being subscribed makes mergeMap recurse, as deep as its buffer is long, and it may stop for ever.
      endOfCallback(this.clock, () => this.inContext(() => !subscription.closed && sink.complete()));
      return subscription;
    }
    if (this.#draining || this.#ending || this.#input.peerEnded) {
      sink.complete();
      this.inputOver();
    } else {
      this.#input.start(sink);
      // Who was asked now waits for the input.
      if (this.#asked) this.rested();
    }
    return subscription;
  }

  /**
   * The first use too many is told to its subscriber. One that comes back for more, as `retry()` does, would do so until the
   * stack is full: the second one fails the connection, and ends with it.
   */
  #isRepeated(error: AlreadySubscribedError): boolean {
    const repeated = this.#misused;
    this.#misused = true;
    if (repeated && !this.over) this.crashed(error);
    return repeated;
  }

  /** Calls back when the connection is closed; in a turn of its own, as the work may lead here again. */
  #whenClosed(work: () => void): Subscription {
    const subscription = new Subscription();
    subscription.add(this.closed.subscribe(() => nextIteration(this.clock, () => !subscription.closed && work())));
    return subscription;
  }

  // What those who write ask for --------------------------------------------------------------------------------------

  /** @returns Whether there is anybody to send to. */
  attach(sender: Sender): boolean {
    if (this.#sender) {
      const error = new AlreadySubscribedError(this.id, 'given a sender');
      if (!this.#isRepeated(error)) throw error;
      this.#whenClosed(() => sender.flushed());
      return false;
    }
    this.#sender = sender;
    this.#users++;
    if (this.#take() && !this.#ending) return true;
    if (this.#gone || this.#queue.finished) endOfCallback(this.clock, () => this.inContext(() => sender.flushed()));
    return false;
  }

  /** Its handler is at work. If it does not read it is to notice all the same when its peer leaves. */
  handlerStarted(): void {
    if (!this.#subscribed && !this.over) this.#input.waitForHandler();
  }

  /** Whether a handler may go on sending after the peer's FIN. */
  get halfOpen(): boolean {
    return this.#settings.halfOpen;
  }

  /** The peer's FIN has been handed on, and means that the peer is gone. */
  get #isDeserted(): boolean {
    return !this.#settings.halfOpen && this.#input.peerEnded;
  }

  /** Keeps the connection from ending by itself when its input is over. @returns A function that lets it. */
  retain(): () => void {
    let using = true;
    this.#users++;
    return () => {
      if (using) this.#users--;
      using = false;
      this.inputOver();
      this.rested();
    };
  }

  /** A piece of work begins: until it ends the peer is not idle. */
  workBegun(work: object): void {
    this.#works ??= new Set();
    this.#works.add(work);
  }

  /** A piece of work has ended. */
  workEnded(work: object): void {
    if (this.#works?.delete(work)) this.rested();
  }

  /** Says whether the generator that is the handler is at work on its next value, or waits for room. */
  working(is: boolean): void {
    // It has finished the value that it was asked for, and is not asked for another.
    if (is && this.#asked && this.#isDeserted && this.#loops === 0) return this.end();
    this.#asked = is;
    if (!is) this.rested();
  }

  /** Queues a value; it leaves with the turn. */
  push(data: Data | undefined): void {
    if (this.#ending || this.#gone || data === undefined) return;
    if (!isData(data)) return this.crashed(notData(data));
    const writes = this.#queue;
    const first = writes.waiting === 0;
    if (!writes.push(data)) {
      this.abortWith(new SlowConsumerError(this.#settings.maxOutbound, writes.unsent + byteLength(data)));
    } else if (writes.isCongested) {
      this.#trackOutput();
    } else if (writes.waiting >= EARLY || this.pressed) {
      // Where memory is short nothing gathers that may find its peer stalled.
      this.flush();
    } else if (first && !this.#input.running) {
      flushLater(this, this.clock);
    }
  }

  flush(): void {
    if (this.#gone || this.#queue.waiting === 0) return;
    if (!this.#input.running && !this.#queue.isCongested) this.active();
    this.#queue.flush();
    this.#trackOutput();
  }

  /** Of what was written in this turn: what has not been handed on yet, in bytes or characters. */
  get gathered(): number {
    return this.#queue.isCongested ? 0 : this.#queue.waiting;
  }

  /** Whether there is no room for more: whoever can wait does. */
  get congested(): boolean {
    const writes = this.#queue;
    return writes.isCongested && !this.#gone && (writes.unsent > this.highWaterMark || this.pressed);
  }

  /** Unsent bytes at which whoever can wait does. */
  get highWaterMark(): number {
    return this.#settings.highWaterMark;
  }

  /** Bytes that may wait to be sent. */
  get maxOutbound(): number {
    return this.#settings.maxOutbound;
  }

  /** What happens past that. */
  get overrun(): Overrun {
    return this.#settings.overrun;
  }

  /** Whether all connections together hold more than they should. */
  get pressed(): boolean {
    return this.#settings.budget.passed;
  }

  /** Whether they hold so much output that no work may begin that makes more of it. */
  get blocked(): boolean {
    return this.#settings.budget.blocked;
  }

  /** Calls back, once, when there may be room, or the connection ends. */
  whenRoom(waiter: () => void): void {
    this.#waiters ??= [];
    this.#waiters.push(waiter);
    // A peer that has something to take makes room, too; else the budget alone does.
    if (this.pressed) this.#settings.budget.wait(this, !this.#queue.isCongested);
  }

  holdElsewhere(bytes: number): void {
    this.#elsewhere += bytes;
    this.weigh();
  }

  /** Counts a value that was dropped by somebody who writes for it. */
  drop(): void {
    this.#queue.dropped++;
  }

  /** Breaks off, for a reason that the error names. */
  abortWith(error: Error): void {
    if (!hasStack('cut')) return onEmptyStack(() => this.abortWith(error));
    this.#breaks(closeReason(error), error);
    this.#break();
  }

  /** The handler failed. */
  fail(error: unknown): void {
    if (!hasStack('fail')) return onEmptyStack(() => this.fail(error));
    this.closeAsFailed(error);
    this.endNow();
  }

  /** Whether it is at its end, or past it, whatever others do. */
  get over(): boolean {
    return this.#ending || this.#gone;
  }

  // What the one who listens and serves asks for ----------------------------------------------------------------------

  /** Runs work in the connection's async context, with the connection as `this`. */
  inContext<T>(work: (this: this) => T): T {
    return this.#context.runInAsyncScope(work, this);
  }

  /** Puts the connection under deadlines, from when it was taken. */
  guard(deadlines: Deadlines): void {
    this.#deadlines = deadlines;
    this.#timer.set();
  }

  /** Asks the connection to finish in so many milliseconds. */
  expireAfter(lifetime: number): void {
    this.#lifeEndsAt = this.clock.now() + lifetime;
    this.#timer.set();
  }

  /** Tells one who asks when the socket is gone, now or later; but not within this call. */
  whenFreed(attended: { freed(): void }): void {
    if (this.#closed) endOfCallback(this.clock, () => this.inContext(() => attended.freed()));
    else this.#attended = attended;
  }

  /** Whether the pipe took it. */
  get taken(): boolean {
    return this.#taken;
  }

  /** Milliseconds from its accept until it was taken, or until now. */
  get waited(): number {
    return (this.#taken ? this.#takenAt : this.clock.now()) - this.#acceptedAt;
  }

  /** It waits for the pipe, unread. A reset of its peer is noticed meanwhile. */
  wait(): void {
    this.pause(PauseCause.waiting);
  }

  /** Whether its peer has left while it waited. */
  get abandoned(): boolean {
    return this.#gone || this.#socket.alive === false;
  }

  /**
   * Closes it unserved.
   *
   * @param farewell What it is told.
   * @param linger Milliseconds for which what comes is read and discarded after our FIN; 0 closes at once, without a farewell.
   */
  dismiss(farewell: Data | undefined, linger: number): void {
    if (this.over) return;
    if (linger === 0) return this.close();
    if (farewell !== undefined) this.#queue.push(farewell);
    this.#ending = true;
    this.#destroyWithin(linger);
    this.#timer.set();
    this.#queue.end();
    this.#input.discard();
  }

  /** Closes it at once. */
  close(): void {
    this.#leave();
    this.#socket.destroy();
  }

  /** Runs work that may begin another connection: in no context of this one. */
  inNoContext(work: () => void): void {
    this.#settings.context.runInAsyncScope(() => new AsyncResource('SluiceEnd')).runInAsyncScope(work);
  }

  // What the socket says (SocketHandler) ------------------------------------------------------------------------------

  received(chunk: Uint8Array): void {
    this.#input.received(chunk);
  }

  peerEnded(): void {
    this.inContext(this.#peerEnded);
  }

  #peerEnded(): void {
    this.#input.ended();
    // The handler has not read yet, and may never do so; but there is nothing that it could miss.
    if (!this.#settings.halfOpen && this.#input.weight === 0) this.#input.resume(PauseCause.unread);
  }

  writable(): void {
    this.inContext(this.#writable);
  }

  #writable(): void {
    this.#progressAt = undefined;
    this.active();
    this.#queue.writable();
    this.#trackOutput();
    this.weigh();
    if (!this.congested) this.#roomMade();
  }

  finished(): void {
    this.#queue.finish();
    this.#progressAt = undefined;
    // Half-closed it goes on, for as long as its input does.
    if (this.#ending) this.inContext(this.#linger);
  }

  /** Nothing more can be sent. What the peer sent before is read, for the linger at most; then the handler stops. */
  writeFailed(error: Error): void {
    if (this.#gone || this.#queue.failed) return;
    this.#breaks('reset', error);
    this.#progressAt = undefined;
    this.#queue.fail();
    if (!this.#input.hearOut(!this.#subscribed && !this.#ending)) return this.#lose();
    this.#destroyWithin(this.#settings.linger);
    this.#timer.set();
    this.weigh();
    this.#roomMade();
  }

  failed(error: Error): void {
    this.#breaks('reset', error);
    this.#leave();
  }

  freed(): void {
    if (this.#closed) return;
    this.#freed = true;
    // Both have said their FIN, but the end of the input is held back still. It comes when that is over.
    if (this.#input.endRetained && !this.#gone) return;
    this.#reason ??= this.#input.peerEnded ? 'ended' : 'aborted';
    this.#timer.clear();
    if (!this.#gone) this.#letGo();
    this.inContext(this.#finish);
  }

  #finish(): void {
    if (this.#untold) this.#tellGone();
    this.#close();
  }

  #close(): void {
    const reason = this.#reason ?? 'aborted';
    const closed: Writable<Closed> = {
      reason,
      bytesIn: this.bytesIn,
      bytesOut: this.#bytesOut,
      unsent: this.#left,
      dropped: this.dropped,
      paused: this.paused,
      duration: this.clock.now() - this.#acceptedAt,
    };
    const error = this.#error;
    if (error !== undefined) closed.error = error;
    if (this.#detail !== undefined) closed.detail = this.#detail;
    // Of a handler that failed only the deadline of its own work: any other was not this connection's.
    if (isA(error, DeadlineError) && (reason !== 'failed' || error.deadline === 'reply'))
      closed.deadline = error.deadline;
    if (reason === 'evicted' && isA(error, EvictedError)) closed.held = error.held;
    this.#closed = closed;
    this.#owner.closed(this, closed);
    const attended = this.#attended;
    if (attended) this.#call(() => attended.freed());
    this.#notify();
  }

  // What the input says (ReadsOwner) ----------------------------------------------------------------------------------

  active(): void {
    this.#activeAt = this.clock.now();
  }

  /** A piece of our own work, or a cause on our side, has gone: if it was the last the peer's idleness begins. */
  rested(): void {
    if (this.over || this.busy) return;
    if (this.#isDeserted) this.#endDeserted();
    this.active();
    if (this.#deadlines.idle !== NEVER) this.#timer.set();
    const resting = this.#resting;
    if (resting === undefined) return;
    this.#resting = undefined;
    for (const look of resting) look();
  }

  /** User code threw where RxJS does not catch it, in a teardown. It ends this connection, and no other. */
  crashed(error: unknown): void {
    this.inContext(() => {
      if (this.#sender) this.#sender.fail(error);
      else this.fail(error);
    });
  }

  /** Without somebody who sends the connection is over with its input; else what still comes is discarded. */
  inputOver(): void {
    if (this.#input.open || this.#gone) return;
    if (this.#subscribed) {
      if (this.#users > 0 || this.#freed) this.#input.discard();
      else this.end();
    }
    // It was kept for the end of its input only. Not at once: who ends it may have an error to tell.
    if (this.#freed) endOfCallback(this.clock, () => this.freed());
    else if (this.#isDeserted) this.#endDeserted();
  }

  /** Ends the connection unless there is work in progress. Not at once: a loop that is over may have a last word. */
  #endDeserted(): void {
    if (this.over || this.busy) return;
    nextIteration(this.clock, () => !this.busy && this.end());
  }

  weigh(): void {
    const output = this.#gone ? 0 : this.#queue.weight + this.#elsewhere;
    const weight = this.#gone ? 0 : this.#input.weight + output;
    if (weight === this.#weight && output === this.#output) return;
    const before = this.#weight;
    const more = output - this.#output;
    this.#weight = weight;
    this.#output = output;
    this.#settings.budget.change(this, before, more);
  }

  waitForRoom(ready: boolean): void {
    this.pause(PauseCause.budget);
    this.#settings.budget.wait(this, ready);
  }

  // What the budget asks (Holder) -------------------------------------------------------------------------------------

  get weight(): number {
    return this.#weight;
  }

  get output(): number {
    return this.#output;
  }

  get owed(): number {
    return this.#queue.unsent + this.#elsewhere;
  }

  get stalled(): boolean {
    return this.#queue.isCongested;
  }

  get stuck(): boolean {
    return this.#input.stuck && this.#weight > 2 * this.#output;
  }

  goOn(): void {
    if (!this.#gone) this.inContext(this.#goOn);
  }

  /** A handler that works is let go of at once. One that only waits for a peer is still to have what came. */
  lost(): void {
    const waits = this.#queue.isCongested || this.#input.pausedByPeerOnly;
    if (waits && !this.#queue.failed) this.writeFailed(reset());
    else this.#lose();
  }

  #lose(): void {
    this.failed(reset());
    this.#socket.destroy();
  }

  // What the alarm asks (AlarmOwner) ----------------------------------------------------------------------------------

  due(): number {
    this.#look();
    const due = Math.min(this.#destroyAt ?? NEVER, this.#stalledAt, this.#tooSlowAt);
    if (!this.#taken || this.#ending || this.#destroyAt !== undefined) return due;
    const greeted = this.bytesIn > 0 ? NEVER : this.#takenAt + this.#deadlines.greeting;
    return Math.min(due, this.#idleAt, greeted, this.#lifeEndsAt ?? NEVER);
  }

  expire(): void {
    this.inContext(this.#expire);
  }

  #expire(): void {
    const now = this.clock.now();
    const { idle, greeting, grace } = this.#deadlines;
    if (now >= (this.#destroyAt ?? NEVER)) {
      this.#break();
    } else if (now >= this.#stalledAt) {
      this.abortWith(new DeadlineError('stall', this.#settings.stall));
    } else if (now >= this.#tooSlowAt) {
      this.#breaks('deadline', new DeadlineError('pace', this.#patience));
      this.#break();
    } else if (this.#ending || this.#destroyAt !== undefined) {
      // Only those three are left.
    } else if (this.#lifeEndsAt !== undefined && now >= this.#lifeEndsAt) {
      this.#destroyWithin(grace);
      this.closeAs(new DeadlineError('lifetime', this.#lifeEndsAt - this.#takenAt));
      // It is over once. With a grace without end the alarm would else go off for ever.
      this.#lifeEndsAt = undefined;
      this.#timer.set();
      this.drain();
    } else if (this.bytesIn === 0 && now >= this.#takenAt + greeting) {
      this.#miss(new DeadlineError('greeting', greeting));
    } else if (now >= this.#idleAt) {
      this.#miss(new DeadlineError('idle', idle));
    }
    if (!this.#gone) this.#timer.set();
  }

  /** When nothing has come or gone for too long. Our own delay is not the peer's fault. */
  get #idleAt(): number {
    const { idle } = this.#deadlines;
    return idle === NEVER || this.busy ? NEVER : this.silentSince + idle;
  }

  /** When the peer has taken nothing for too long, for all that can be seen of it. */
  get #stalledAt(): number {
    if (this.#progressAt === undefined) return NEVER;
    return this.#progressAt + Math.max(this.#settings.stall, this.#unseen);
  }

  /** For how long the peer may take what the network holds without our seeing it. */
  get #unseen(): number {
    return unseen(this.#bytesOut, this.#settings.pace.out, this.#socket.roomStep ?? 0);
  }

  /** When the peer has taken too little for too long. */
  get #tooSlowAt(): number {
    return this.#progressAt === undefined ? NEVER : (this.#credit?.until ?? NEVER);
  }

  /** For how long the peer may be too slow: a peer that may take nothing for a while may take little for as long. */
  get #patience(): number {
    return Math.max(this.#settings.pace.grace, this.#settings.stall);
  }

  forgive(lost: number): void {
    this.#credit?.forgive(this.clock.now(), lost);
  }

  #finishOutput(): void {
    // The FIN, or the stall deadline in front of it, is under way before user code runs.
    this.#queue.end();
    this.#trackOutput();
    // It had said its FIN already. Not at once: who ends it may have an error to tell.
    if (this.#queue.finished) endOfCallback(this.clock, () => !this.#gone && this.#linger());
    this.#input.complete();
    this.#sender?.stop();
    if (!this.#gone) this.#input.discard();
  }

  #finishInput(): void {
    this.#notify();
    this.#input.drain();
  }

  // The rest ----------------------------------------------------------------------------------------------------------

  #take(): boolean {
    if (this.#input.waiting) {
      this.#input.resume(PauseCause.waiting);
      if (!this.over && this.abandoned) this.#lose();
    }
    // Sent away: for good, or with words that it is still given.
    if (this.#gone || (this.#ending && !this.#taken)) {
      if (!this.#taken) this.#owner.missed(this);
      return false;
    }
    if (!this.#taken) {
      this.#taken = true;
      this.#takenAt = this.#activeAt = this.clock.now();
      this.#owner.taken(this);
    }
    // Whoever was told of it may have broken it off.
    return !this.#gone;
  }

  /** Looks after the output once some has been handed on. */
  #trackOutput(): void {
    if (!this.#queue.isCongested) return;
    if (this.#progressAt === undefined) {
      const now = this.clock.now();
      this.#progressed(now);
      this.#credit ??= new Credit(this.#settings.pace.out, this.#patience);
      this.#credit.begin(now, this.#unseen);
      this.#timer.set();
    }
    this.weigh();
    // A sender answers what is read: more is not read before that has left. Whoever writes by himself waits for the promise, and
    // must be read to meanwhile: two who both write and do not read would wait for each other.
    if (this.#sender && this.#input.coupled && this.congested) this.#input.pause(PauseCause.peer);
  }

  /** One large write is one piece to us, but it may have been moving all the while. */
  #look(): void {
    if (this.#progressAt === undefined || this.#gone || this.bytesOut <= this.#bytesOut) return;
    this.#activeAt = this.clock.now();
    this.#credit?.earn(this.#activeAt, this.bytesOut - this.#bytesOut);
    this.#progressed(this.#activeAt);
  }

  #progressed(now: number): void {
    this.#progressAt = now;
    this.#bytesOut = this.bytesOut;
  }

  #goOn(): void {
    this.#input.resume(PauseCause.budget);
    if (!this.congested) this.#roomMade();
  }

  /** The output has room again, or is over: whoever waits for it goes on. */
  #roomMade(): void {
    if (!this.#gone) this.#input.resume(PauseCause.peer);
    const waiters = this.#waiters;
    if (waiters === undefined) return;
    this.#waiters = undefined;
    for (const waiter of waiters) this.#call(waiter);
  }

  /** From now, in milliseconds; if that was said before, what is sooner holds. */
  #destroyWithin(time: number): void {
    const at = Math.min(this.#destroyAt ?? NEVER, this.clock.now() + time);
    if (at !== NEVER) this.#destroyAt = at;
  }

  /** A deadline is missed. The handler hears of it, and may say so to the peer; but not for longer than the linger. */
  #miss(error: DeadlineError): void {
    this.closeAs(error);
    this.#destroyWithin(this.#settings.linger);
    this.#timer.set();
    if (this.#input.open) this.#input.fail(error);
    else this.end();
  }

  /** All has left, our FIN included: now for that of the peer. */
  #linger(): void {
    this.#destroyWithin(this.#settings.linger);
    // The linger stands before user code is called, which may throw. With both FINs said there is none: the socket goes by
    // itself, and if it should not, an alarm that is armed already will find it.
    if (!this.#input.peerEnded) this.#timer.set();
    this.#flushed();
  }

  /** The first reason wins; but one that promises delivery does not hold if the end came before it. */
  #breaks(reason: CloseReason, error?: unknown): void {
    const promised = this.#reason === 'completed' || this.#reason === 'ended' || this.#reason === 'drained';
    if (this.#gone || (this.#reason !== undefined && (!promised || this.#queue.finished))) return;
    this.#reason = reason;
    this.#error = error;
  }

  #break(): void {
    if (this.#gone) return;
    try {
      this.#breakOff();
    } catch {
      // It was cut short for want of stack. Each step may be done twice.
      onEmptyStack(() => this.#breakOff());
    }
  }

  #breakOff(): void {
    this.#letGo();
    // The socket before user code: when it is free, whatever is left undone here is done.
    // At the end, after our FIN, a RST has nothing to tell any more, and before the peer has read all it would take from it.
    if (!this.#freed) {
      if (this.#ending && this.#queue.finished) this.#socket.destroy();
      else this.#socket.reset();
    }
    this.#tellGone();
    if (this.#freed) this.freed();
  }

  /** The handler stops, in this tick. */
  #leave(): void {
    if (this.#gone) return;
    this.#letGo();
    this.#tellGone();
  }

  #letGo(): void {
    this.#left = this.#queue.unsent;
    this.#bytesOut = this.bytesOut;
    this.#paused = this.paused;
    this.#gone = true;
    this.#queue.drop();
    this.weigh();
    this.#settings.budget.forget(this);
    this.#bereft = this.#input.leave() ?? this.#bereft;
    this.#untold = true;
  }

  /** Tells all that have to do with the connection that it is gone. Where that is cut short it is done again, at the latest when the socket is free. */
  #tellGone(): void {
    this.inContext(this.#tellAll);
  }

  #tellAll(): void {
    this.#sender?.stop();
    this.#flushed();
    const sink = this.#bereft;
    this.#bereft = undefined;
    if (sink) this.#call(() => sink.error(this.#closedError()));
    this.#roomMade();
    this.#untold = false;
  }

  #flushed(): void {
    const sender = this.#sender;
    if (sender) this.#call(() => sender.flushed());
  }

  #closedError(): ConnectionClosedError {
    const reason = this.#reason ?? (this.#gone ? 'aborted' : 'half-closed');
    return new ConnectionClosedError(this.id, reason, { cause: this.#error });
  }

  #observe<T>(look: (to: Subscriber<T>) => boolean): Observable<T> {
    return new Observable<T>((to) => {
      const attempt = () => {
        const over = look(to);
        if (over) to.complete();
        return over;
      };
      if (attempt()) return;
      this.#observers ??= new Set();
      this.#observers.add(attempt);
      to.add(() => this.#observers?.delete(attempt));
    });
  }

  #notify(): void {
    if (this.#observers) for (const attempt of this.#observers) this.#call(attempt);
  }

  /** Calls others, who may throw in a teardown: that is this connection's fault, and not of who waits behind them. */
  #call(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.crashed(error);
    }
  }
}

/**
 * The library's side of a connection that the user hands in.
 *
 * @param what Completes the sentence "Cannot …" of the error.
 * @throws TypeError if it is not a connection of `listen`, `serve` or `connect`.
 */
export function internals(connection: Connection, what: string): SocketConnection {
  if (connection instanceof SocketConnection) return connection;
  throw new TypeError(`Cannot ${what}: ${describe(connection)} is not a connection of listen, serve or connect`);
}
