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
  /** The notifications that wait for `notifyEnd`, which sends them in this order. */
  #deferred: { ended: boolean; error?: Error; freed: boolean } | undefined;

  constructor(peer: Address) {
    this.peer = peer;
  }

  /** A unix socket has no ports and no RST. */
  protected abstract get isTcp(): boolean;

  protected abstract get isClosed(): boolean;

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
  protected aliveIf(isPeerKnown: boolean, isFinSent: boolean): boolean | undefined {
    return isPeerKnown || !isFinSent ? isPeerKnown : undefined;
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
