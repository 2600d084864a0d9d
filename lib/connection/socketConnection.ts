import type { OperatorFunction, Unsubscribable } from 'rxjs';
import { type DeadlineError, isA, TlsError } from '../errors.ts';
import type { Closed, Security } from '../events.ts';
import type { Linked, LinkedSet } from '../linkedSet.ts';
import type { TlsClientOptions, TlsOptions } from '../tls/tlsSide.ts';
import type { SocketHandler, TransportSocket } from '../transport/transport.ts';
import { BudgetAccount, type BudgetAccountOwner } from './budgetAccount.ts';
import { ClosableConnection, resetByPeer } from './closableConnection.ts';
import { Control, type ControlOwner } from './control.ts';
import { Input, type InputOwner } from './input.ts';
import { Output, type OutputOwner } from './output.ts';
import { PauseCause } from './pauses.ts';
import { Phase } from './phase.ts';
import { type SendTarget, send } from './send.ts';
import type { ConnectionSettings } from './settings.ts';
import type { ByteSink } from './source.ts';
import { noTls, Upgrade, type UpgradeOwner } from './upgrade.ts';
import { Usage, type UsageOwner } from './usage.ts';
import { Watchdog, type WatchdogOwner } from './watchdog.ts';
import type { Data } from './writeQueue.ts';

/** What a connection reports to the listener or dialer that made it. */
export interface ConnectionOwner {
  /** An operator subscribed to it, or began to send on it. */
  taken(connection: SocketConnection): void;
  /** An operator subscribed to it after it had been refused, or after its peer had left. */
  missed(connection: SocketConnection): void;
  /** User code refuses it, before anything has subscribed to it. */
  refuse(connection: SocketConnection, reason: string): void;
  /** Its handler keeps frames. */
  hoards?(connection: SocketConnection, frames: number, bytes: number): void;
  /** It was asked to finish. */
  drains?(connection: SocketConnection): void;
  /** Its socket is closed. */
  closed(connection: SocketConnection, closed: Closed): void;
}

type Roles = SocketHandler &
  InputOwner &
  OutputOwner &
  WatchdogOwner &
  BudgetAccountOwner &
  ControlOwner &
  UpgradeOwner &
  UsageOwner &
  SendTarget;

/**
 * One connection on a socket of the transport: what each event of the socket, and of its own parts, leads to.
 *
 * | part       | its question                                                   |
 * |------------|----------------------------------------------------------------|
 * | `input`    | what is passed on now, and what waits for the end of a pause?  |
 * | `output`   | when do bytes leave?                                           |
 * | `watchdog` | which deadline is next, and what happens when it passes?       |
 * | `usage`    | what reads and writes, and is there work for the peer?         |
 * | `account`  | how much memory does it hold?                                  |
 * | `control`  | what may operators on its bytes see and do?                    |
 *
 * How it ends, and why, is in `ClosableConnection`; its phase and its figures are in `ObservedConnection`.
 */
export class SocketConnection extends ClosableConnection implements Roles, Linked<SocketConnection> {
  // For the set of the connections that are being served.
  following: SocketConnection | undefined;
  preceding: SocketConnection | undefined;
  place = 0;
  memberOf: LinkedSet<SocketConnection> | undefined;
  readonly input: Input;
  readonly output: Output;
  readonly watchdog: Watchdog;
  readonly usage = new Usage(this);
  readonly #owner: ConnectionOwner;
  #account: BudgetAccount | undefined;
  #control: Control | undefined;
  #upgrade: Upgrade | undefined;

  constructor(id: number, socket: TransportSocket, settings: ConnectionSettings, owner: ConnectionOwner) {
    super(id, socket, settings);
    this.#owner = owner;
    this.output = new Output(socket, this);
    this.watchdog = new Watchdog(this);
    this.input = new Input(socket, this);
    socket.handler = this;
  }

  // Use ---------------------------------------------------------------------------------------------------------------

  override get control(): Control {
    this.#control ??= new Control(this);
    return this.#control;
  }

  /** Without a control, which a handler that only reads never needs. */
  protected override get areBorrowed(): boolean {
    return this.input.borrowed;
  }

  override borrow(sink: ByteSink): Unsubscribable {
    return this.usage.read(sink);
  }

  send(): OperatorFunction<Data | undefined, never> {
    return send(this);
  }

  write(data: Data): Promise<void> {
    return this.output.write(data);
  }

  upgrade(tls: TlsOptions | TlsClientOptions | true = true): Promise<Security> {
    const secured = this.#secure(tls);
    // A caller need not await it: if the handshake fails, the connection is closed for the same error.
    secured.catch(() => {});
    return secured;
  }

  async #secure(tls: TlsOptions | TlsClientOptions | true): Promise<Security> {
    if (this.security || this.#upgrade) throw new TypeError('Cannot upgrade the connection: TLS has begun already');
    const side = this.settings.upgrades.side(tls);
    if (this.socket.detach === undefined) throw noTls();
    if (!this.take() || this.over || this.output.queue.ended) throw this.closedError();
    this.#upgrade = new Upgrade(this, this, this.socket, side);
    return this.#upgrade.begin();
  }

  upgraded(security: Security): void {
    this.#upgrade = undefined;
    this.originates({ security });
    this.output.release();
    this.account.update();
  }

  holdElsewhere(bytes: number): void {
    this.account.holdElsewhere(bytes);
  }

  // A source of replies that waits to be asked goes at the pace of the output.

  get congested(): boolean {
    return this.output.congested;
  }

  get blocked(): boolean {
    return this.output.blocked;
  }

  whenRoom(waiter: () => void): void {
    this.output.whenRoom(waiter);
  }

  working(isAsked: boolean): void {
    this.usage.working(isAsked);
  }

  /** Waits for an operator, unread. A reset by the peer is noticed meanwhile. */
  wait(): void {
    if (!this.over) this.input.pause(PauseCause.waiting);
  }

  take(): boolean {
    if (this.input.waiting) {
      this.input.resume(PauseCause.waiting);
      if (!this.over && this.abandoned) this.lose();
    }
    const isTaken = this.taken;
    // It was refused: at once, or with a farewell that is still being sent.
    if (this.isDetached || (this.over && !isTaken)) {
      if (!isTaken) this.#owner.missed(this);
      return false;
    }
    if (!isTaken) {
      this.enter('taken');
      this.watchdog.taken();
      this.#owner.taken(this);
    }
    // An observer of that may have aborted it.
    return !this.isDetached;
  }

  refuse(reason = 'unwanted'): void {
    if (!this.taken) this.#owner.refuse(this, reason);
  }

  /** What it holds of the memory budget; created when it holds something, as most connections hold nothing. */
  get account(): BudgetAccount {
    this.#account ??= new BudgetAccount(this.settings.budget, this);
    return this.#account;
  }

  protected release(): void {
    this.#account?.close();
    this.#upgrade?.cancel(this.closedError());
  }

  protected reportDraining(): void {
    this.#owner.drains?.(this);
  }

  protected reportClosed(closed: Closed): void {
    this.#owner.closed(this, closed);
  }

  // What the socket reports (SocketHandler) ---------------------------------------------------------------------------

  received(chunk: Uint8Array): void {
    this.input.received(chunk);
  }

  peerEnded(): void {
    this.inContext(this.#peerEnded);
  }

  #peerEnded(): void {
    this.input.ended();
    // The handler has not read yet, and may never do so; but there is nothing that it could miss.
    if (!this.halfOpen && this.input.weight === 0) this.input.resume(PauseCause.unread);
  }

  writable(): void {
    this.inContext(this.#writable);
  }

  #writable(): void {
    this.output.writable();
    this.account.update();
    this.#upgrade?.taken();
    if (!this.output.congested) this.output.roomMade();
  }

  finished(): void {
    this.output.finished();
    // A half-closed connection continues for as long as its input does.
    if (this.phase !== Phase.ending) return;
    this.enter('flushed');
    this.inContext(this.linger);
  }

  /** Nothing more can be sent. What the peer sent before is read, for the linger at most; then the handler stops. */
  writeFailed(error: Error): void {
    if (this.isDetached || this.output.queue.failed) return;
    this.abortAs('reset', error);
    this.output.fail();
    if (this.#upgrade || !this.input.readRemaining(!this.usage.isSubscribed && !this.over)) return this.lose();
    this.watchdog.destroyWithin(this.settings.linger);
    this.watchdog.set();
    this.account.update();
    this.output.roomMade();
  }

  failed(error: Error): void {
    this.abortAs(isA(error, TlsError) ? 'tls' : 'reset', error);
    this.stop();
  }

  // What the input reports (InputOwner) -------------------------------------------------------------------------------

  inputOver(): void {
    this.usage.inputOver();
  }

  rested(): void {
    this.usage.rested();
  }

  weigh(): void {
    if (this.#account || this.input.weight > 0 || this.output.queue.isWriteInFlight) this.account.update();
  }

  pauseForMemory(isReady: boolean): void {
    if (!this.over) this.input.pause(PauseCause.budget);
    this.account.wait(isReady);
  }

  /** A handler that works is stopped at once. One that only waits for a peer still receives what came. */
  lost(): void {
    const waits = this.output.queue.isWriteInFlight || this.input.pausedByPeerOnly;
    if (waits && !this.#upgrade && !this.output.queue.failed) this.writeFailed(resetByPeer());
    else this.lose();
  }

  // What the output reports (OutputOwner) -----------------------------------------------------------------------------

  active(): void {
    this.watchdog.active();
  }

  writeInFlight(isFirst: boolean): void {
    if (isFirst) this.watchdog.set();
    this.account.update();
    // With `send()`, output derives from input, so reading pauses until the output has room. With `write()`, the caller awaits the
    // promise and reading continues: two endpoints that both write without reading would deadlock.
    if (this.usage.sender && this.input.coupled && this.output.congested) this.input.pause(PauseCause.peer);
  }

  /** A connection that has ended was to send all, and has not. */
  writeThrew(error: unknown): void {
    this.abortAs('failed', error);
    this.crashed(error);
  }

  outputHasRoom(): void {
    if (!this.isDetached) this.input.resume(PauseCause.peer);
  }

  waitForMemory(isReady: boolean): void {
    this.account.wait(isReady);
  }

  // What the watchdog, the budget and the usage ask --------------------------------------------------------------------

  get busy(): boolean {
    return this.usage.busy;
  }

  /** The handler receives an error of its input, and may send a last message, but not for longer than the linger. */
  deadlineMissed(error: DeadlineError): void {
    this.closeAs(error);
    this.watchdog.destroyWithin(this.settings.linger);
    this.watchdog.set();
    if (this.input.open) this.input.fail(error);
    else this.end();
  }

  lifetimeOver(error: DeadlineError): void {
    this.closeAs(error);
    this.drain();
  }

  memoryFreed(): void {
    if (!this.isDetached) this.inContext(this.#memoryFreed);
  }

  #memoryFreed(): void {
    this.input.resume(PauseCause.budget);
    if (!this.output.congested) this.output.roomMade();
  }

  hoards(frames: number, bytes: number): void {
    this.inContext(() => this.#owner.hoards?.(this, frames, bytes));
  }

  whenRested(callback: () => void): void {
    this.usage.whenRested(callback);
  }

  retain(): () => void {
    return this.usage.retain();
  }
}
