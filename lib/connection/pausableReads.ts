import type { SchedulerLike } from 'rxjs';
import type { Paused } from '../events.ts';
import type { TransportSocket } from '../transport/transport.ts';
import type { LivenessPoller, Polled } from './livenessPoller.ts';
import { LOCAL_CAUSES, PauseCause, PauseTimes, withCause, withoutCause } from './pauses.ts';

/** What the reads of one listener have in common. */
export interface ReadsContext {
  readonly clock: SchedulerLike;
  readonly livenessPoller: LivenessPoller;
}

/**
 * The reads of one socket, which several causes may pause at once.
 *
 * A cause alone does not stop the socket: it reads on until one more chunk has come, which {@link Input} retains. So a
 * handler that is done before its peer sends again costs no system call, and a FIN or RST of the peer is noticed meanwhile. A
 * socket that is stopped notices neither, so the liveness poller asks for it.
 */
export abstract class PausableReads implements Polled {
  protected socket: TransportSocket;
  #causes = 0;
  #times: PauseTimes | undefined;
  #isStopped = true;
  #isPolled = false;

  constructor(socket: TransportSocket) {
    this.socket = socket;
  }

  protected abstract readonly context: ReadsContext;

  /** Reads from another socket from now on, which is paused. */
  replaceSocket(socket: TransportSocket): void {
    this.socket = socket;
    if (!this.#isStopped) socket.resume();
  }

  /** Reads nothing, until {@link restore}. @returns Whether it read before. */
  suspend(): boolean {
    const hasRead = !this.#isStopped;
    this.pause(PauseCause.handshake);
    this.stopSocket();
    return hasRead;
  }

  /** @param reads Whether it read before. */
  restore(reads: boolean): void {
    if (reads) this.startSocket();
    this.resume(PauseCause.handshake);
  }

  /** Ends a cause. */
  abstract resume(cause: number): void;

  /** The peer has reset the connection, unseen. */
  abstract died(): void;

  /** The last cause on our side has ended. */
  protected abstract localCausesEnded(): void;

  /** Whether any cause holds. */
  get isPaused(): boolean {
    return this.#causes !== 0;
  }

  /** Whether the connection waits for an operator. */
  get waiting(): boolean {
    return this.pausedBy(PauseCause.waiting);
  }

  /** Whether a peer that does not take what is written pauses the input, and nothing else does. */
  get pausedByPeerOnly(): boolean {
    return (this.#causes & ~PauseCause.yield) === PauseCause.peer;
  }

  /** Whether one of some causes holds. */
  pausedBy(causes: number): boolean {
    return (this.#causes & causes) !== 0;
  }

  /** How long the input has been paused, for each cause. */
  get paused(): Paused {
    return PauseTimes.sums(this.#times, this.#causes, this.context.clock.now());
  }

  get needsPolling(): boolean {
    return this.socket.needsPolling;
  }

  get alive(): boolean | undefined {
    return this.socket.alive;
  }

  /** Whether the chunks of a read are borrowed. */
  get borrowed(): boolean {
    return this.socket.borrows;
  }

  pause(cause: number): void {
    this.setCauses(withCause(this.#causes, cause));
  }

  /** Ends a cause. @returns Whether the input may flow again: it was the last one. */
  protected endCause(cause: number): boolean {
    const causes = withoutCause(this.#causes, cause);
    if (causes === this.#causes) return false;
    this.setCauses(causes);
    return this.#causes === 0;
  }

  protected setCauses(causes: number): void {
    // A pause of one iteration, for the other connections, has no cause to report.
    const before = this.#causes & ~PauseCause.yield;
    const now = causes & ~PauseCause.yield;
    const hasRested = (this.#causes & LOCAL_CAUSES) !== 0 && (causes & LOCAL_CAUSES) === 0;
    this.#causes = causes;
    if (hasRested) this.localCausesEnded();
    if (before === now) return;
    this.#times ??= new PauseTimes();
    this.#times.change(before, this.context.clock.now());
    this.#updatePolling();
  }

  /** Whether the socket reads nothing. */
  protected get isStopped(): boolean {
    return this.#isStopped;
  }

  protected stopSocket(): void {
    this.#isStopped = true;
    this.socket.pause();
    this.#updatePolling();
  }

  protected startSocket(): void {
    this.#isStopped = false;
    this.socket.resume();
    this.#updatePolling();
  }

  /** A stopped socket does not notice that its peer is gone. For a pause of one iteration nothing needs to ask. */
  #updatePolling(): void {
    const isDeaf = this.#isStopped && (this.#causes & ~PauseCause.yield) !== 0;
    if (isDeaf === this.#isPolled) return;
    this.#isPolled = isDeaf;
    if (isDeaf) this.context.livenessPoller.add(this);
    else this.context.livenessPoller.delete(this);
  }
}
