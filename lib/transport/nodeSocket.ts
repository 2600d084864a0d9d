import { defersEnd, type EndedSocket } from './deferredEnds.ts';
import { NO_HANDLER } from './noHandler.ts';
import type { Address, SocketHandler } from './transport.ts';

/** The share of a send buffer that Linux frees before it reports room: of TCP, and of a unix socket. */
const TCP_STEP = 1 / 3;
const UNIX_STEP = 3 / 4;

/** What the sockets of Node's two transports have in common: how they notify their handler. */
export abstract class NodeSocket implements EndedSocket {
  /** A listener sets its own in the call that makes this socket. Nothing can happen to the socket before that. */
  handler: SocketHandler = NO_HANDLER;
  readonly peer: Address;
  /** A write is not complete. */
  protected isStalled = false;
  /** A write has failed. */
  protected hasFailed = false;
  #isFailureReported = false;
  /** The last known number of {@link queued} bytes. */
  #pending = 0;
  /** Bytes that were written when the socket was closed, or before a write that failed at once. */
  #bytesWritten: number | undefined;
  /** The notifications that wait for `notifyEnd`, which sends them in this order. */
  #deferred: { ended: boolean; error?: Error; freed: boolean } | undefined;

  constructor(peer: Address) {
    this.peer = peer;
  }

  /** A unix socket has no ports and no RST. */
  protected abstract get isTcp(): boolean;

  protected abstract get isClosed(): boolean;

  /** Bytes that libuv holds; `undefined` once the socket is closed. They decrease while a large write makes progress. */
  protected abstract get queued(): number | undefined;

  /** Bytes that were passed to write, while the socket is open. */
  protected abstract get written(): number;

  /** Whether the kernel knows the peer of a TCP socket; `undefined` if that is unknown. */
  protected abstract get isPeerKnown(): boolean | undefined;

  /** Whether our FIN was sent, or is being sent. */
  protected abstract get isFinSent(): boolean;

  /** A failed write leaves libuv's queue, but it was not sent: so the number stays, as it does once the socket is closed. */
  get pending(): number {
    if (!this.hasFailed) this.#pending = this.queued ?? this.#pending;
    return this.#pending;
  }

  get bytesWritten(): number {
    return this.#bytesWritten ?? this.written;
  }

  /** The socket is about to be closed, and loses its figures. */
  protected keepFigures(): void {
    this.#pending = this.pending;
    this.#bytesWritten = this.bytesWritten;
  }

  /** A write failed within the call. What it has not written may be counted all the same. */
  protected failedAtOnce(writtenBefore: number): void {
    this.#bytesWritten = writtenBefore;
    // What was pending when it was last read may have been sent since.
    this.#pending = this.pending;
    this.hasFailed = true;
    this.isStalled = true;
  }

  get needsPolling(): boolean {
    return this.isTcp;
  }

  get roomStep(): number {
    return this.isTcp ? TCP_STEP : UNIX_STEP;
  }

  /**
   * After a RST the kernel no longer knows the peer: ENOTCONN. Nor does it after both FINs, while it still holds bytes that were
   * not read. So once our FIN was sent, this does not tell.
   */
  get alive(): boolean | undefined {
    const { isPeerKnown } = this;
    return isPeerKnown === false && this.isFinSent ? undefined : isPeerKnown;
  }

  /**
   * The socket stays open, because the kernel may still hold what the peer sent before it closed. The handler is notified of the
   * first of several writes that fail.
   */
  writeFailed(error: Error): void {
    this.hasFailed = true;
    if (this.isClosed || this.#isFailureReported) return;
    this.#isFailureReported = true;
    this.handler.writeFailed(error);
  }

  peerEnded(): void {
    const deferred = this.#defer();
    if (deferred) deferred.ended = true;
    else this.handler.peerEnded();
  }

  failed(error: Error): void {
    const deferred = this.#defer();
    if (deferred) deferred.error = error;
    else this.handler.failed(error);
  }

  freed(): void {
    const deferred = this.#defer();
    if (deferred) deferred.freed = true;
    else this.handler.freed();
  }

  /** Once one notification is deferred, all that follow are, because they must stay in order. */
  #defer() {
    if (this.#deferred === undefined && defersEnd(this)) this.#deferred = { ended: false, freed: false };
    return this.#deferred;
  }

  notifyEnd(): void {
    const { ended = false, error, freed = false } = this.#deferred ?? {};
    this.#deferred = undefined;
    // A notification that throws does not keep the next one from the handler.
    try {
      if (ended) this.handler.peerEnded();
    } finally {
      try {
        if (error) this.handler.failed(error);
      } finally {
        if (freed) this.handler.freed();
      }
    }
  }
}
