import { AsyncResource } from 'node:async_hooks';
import type { Observable, SchedulerLike } from 'rxjs';
import type { Closed, Paused, Security, Via } from '../events.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import { Closing } from './closing.ts';
import { Connection } from './connection.ts';
import type { Input } from './input.ts';
import type { Output } from './output.ts';
import type { Pace } from './pace.ts';
import { after, Phase, type PhaseEvent } from './phase.ts';
import type { ConnectionSettings } from './settings.ts';
import { StateObservers } from './stateObservers.ts';
import type { Watchdog } from './watchdog.ts';

/** V8 keeps a whole number of 31 bits in the field itself, and any other number in an object of its own. */
const LOADED_AT = Date.now();

/** What a PROXY header and a TLS handshake have shown of a connection. */
export interface Origin {
  readonly client?: Address | undefined;
  readonly via?: Via | undefined;
  readonly security?: Security | undefined;
  readonly preamble?: number | undefined;
  readonly handshake?: number | undefined;
}

/**
 * What can be seen of a connection: its phase, its figures, and the Observables of its state. `SocketConnection` changes them.
 */
export abstract class ObservedConnection extends Connection {
  readonly id: number;
  abstract readonly input: Input;
  abstract readonly output: Output;
  abstract readonly watchdog: Watchdog;
  /** What it has to do before it can be handed out; it leaves that when it is closed. */
  arrival: { leave(): void } | undefined;
  /** Its listener counts it as waiting: neither taken, nor refused, nor closed. */
  isCountedAsWaiting = true;
  /** The name of the peer for which it counts, if its listener counts connections for peers. */
  addressKey: string | undefined;
  /** Its code has entered an async context of its own, in which its input is passed on, too: see {@link adoptContext}. */
  hasContext = false;
  /** The socket is closed. It may be so in any phase: the end of the input may still be retained for a paused handler. */
  isSocketClosed = false;
  protected socket: TransportSocket;
  readonly settings: ConnectionSettings;
  protected phase: Phase = Phase.waiting;
  readonly #openedAt = Math.trunc(Date.now() - LOADED_AT);
  /**
   * The async context of its accept. User code is called in it wherever the caller may belong to another connection: in a
   * callback that several connections share, or in a call of another handler. Reads have the context of their own socket.
   */
  #context = new AsyncResource('SluiceConnection');
  #isDraining = false;
  #closing: Closing | undefined;
  #observers: StateObservers | undefined;
  #origin: Origin | undefined;

  constructor(id: number, socket: TransportSocket, settings: ConnectionSettings) {
    super();
    this.id = id;
    this.socket = socket;
    this.settings = settings;
  }

  get peer(): Address {
    return this.#origin?.client ?? this.socket.peer;
  }

  get via(): Via | undefined {
    return this.#origin?.via;
  }

  get security(): Security | undefined {
    return this.#origin?.security;
  }

  /** Milliseconds that the TLS handshake took which it arrived with, until its end or its failure. */
  get handshake(): number | undefined {
    return this.#origin?.handshake;
  }

  /** Milliseconds from the accept until the PROXY header was read and the TLS handshake was complete. */
  get preamble(): number {
    return this.#origin?.preamble ?? 0;
  }

  /** What a PROXY header or a TLS handshake has shown. */
  originates(origin: Origin): void {
    this.#origin = { ...this.#origin, ...origin };
  }

  /** Continues on another socket, because TLS has begun on the one so far. No write is in flight. */
  replaceSocket(socket: TransportSocket): void {
    this.socket = socket;
    this.output.replaceSocket(socket);
    this.input.replaceSocket(socket);
  }

  get openedAt(): number {
    return LOADED_AT + this.#openedAt;
  }

  get clock(): SchedulerLike {
    return this.settings.clock;
  }

  get pace(): Pace {
    return this.settings.pace;
  }

  /** Whether a handler may go on sending after the peer's FIN. */
  get halfOpen(): boolean {
    return this.settings.halfOpen;
  }

  get local(): Address {
    return this.socket.local;
  }

  get bytesIn(): number {
    return this.input.bytes;
  }

  get bytesOut(): number {
    return this.#closing?.final?.bytesOut ?? this.output.bytesOut;
  }

  get unsent(): number {
    return this.#closing?.final?.unsent ?? this.output.queue.unsent;
  }

  get dropped(): number {
    return this.output.queue.dropped;
  }

  get paused(): Paused {
    return this.#closing?.final?.paused ?? this.input.paused;
  }

  /** Rounded up, as the moment of the last activity is. */
  get idle(): number {
    return Math.max(0, Math.ceil(this.clock.now()) - this.watchdog.lastActivity);
  }

  /** Whether an operator has subscribed to it. */
  get taken(): boolean {
    return this.watchdog.isTaken;
  }

  /** Milliseconds from its accept until it was taken, or until now. */
  get waited(): number {
    return this.watchdog.waited;
  }

  get currentPhase(): Phase {
    return this.phase;
  }

  /** Whether our side has ended or aborted it. */
  get over(): boolean {
    return this.phase >= Phase.ending;
  }

  /** Whether its handler is unsubscribed. */
  get isDetached(): boolean {
    return this.phase >= Phase.detached;
  }

  /** Whether its handler has stopped and its socket is closed. */
  get isClosed(): boolean {
    return this.phase === Phase.closed;
  }

  /** Whether its peer has left while it waited. */
  get abandoned(): boolean {
    return this.isDetached || this.socket.alive === false;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  get draining(): Observable<void> {
    this.#observers ??= new StateObservers();
    return this.#observers.observe((to) => {
      if (this.#isDraining) to.next();
      return this.#isDraining || this.#closing?.closed !== undefined;
    });
  }

  get closed(): Observable<Closed> {
    this.#observers ??= new StateObservers();
    return this.#observers.observe((to) => {
      const closed = this.#closing?.closed;
      if (closed) to.next(closed);
      return closed !== undefined;
    });
  }

  /** Why it closes; created on the first use, as most connections are open. */
  protected get closing(): Closing {
    this.#closing ??= new Closing();
    return this.#closing;
  }

  /** Runs work in the connection's async context, with the connection as `this`. */
  inContext<T>(work: (this: this) => T): T {
    return this.#context.runInAsyncScope(work, this);
  }

  /** Runs work that may begin another connection: in a context that is not of this one. */
  inNoContext(work: () => void): void {
    this.settings.context.runInAsyncScope(() => new AsyncResource('SluiceEnd')).runInAsyncScope(work);
  }

  /** Makes the async context of the caller that of the connection. From now on all code of its handler is called in it. */
  adoptContext(): void {
    this.#context = new AsyncResource('SluiceContext');
    this.hasContext = true;
  }

  /** An event that may lead to another phase. */
  protected enter(event: PhaseEvent): void {
    this.phase = after(this.phase, event);
  }

  protected setDraining(): void {
    this.#isDraining = true;
  }

  /** Keeps the figures as they are now: once the socket is closed, it has none. */
  protected keepFigures(): void {
    const { bytesOut, unsent, paused } = this;
    this.closing.final ??= { bytesOut, unsent, paused };
  }

  /** Records the close, and returns it. */
  protected recordClose(): Closed {
    this.enter('closed');
    const closed = this.closing.record(this, this.watchdog.age);
    this.closing.closed = closed;
    return closed;
  }

  /** Calls user code, and handles what it throws. */
  abstract call(work: () => void): void;

  /** Notifies the subscribers of `draining` and `closed`. */
  protected notifyObservers(): void {
    this.#observers?.notify(this);
  }
}
