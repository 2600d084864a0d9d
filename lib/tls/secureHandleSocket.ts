import type { Handle, Written } from '../transport/handle.ts';
import {
  closeSecured,
  freeSecured,
  ownSecured,
  resetSecured,
  type SecureHandle,
  type SecureOwner,
  shutdownSecured,
  stopAtEnd,
} from '../transport/nodeTlsInternals.ts';
import { OnHandle } from '../transport/onHandle.ts';
import { prefixes } from '../transport/sharedBuffer.ts';
import { systemError } from '../transport/systemError.ts';
import type { TransportSocket } from '../transport/transport.ts';
import { HeldInput } from './heldInput.ts';
import { LargeRead } from './largeRead.ts';
import { SecureWrites } from './secureWrites.ts';
import type { SocketSecurity } from './security.ts';
import { tlsError } from './tlsError.ts';

/** Node's own: a fake clock might never call back. */
const { setImmediate } = globalThis;

/** What has become of our FIN. */
const Fin = { open: 0, wanted: 1, leaving: 2, sent: 3 } as const;

/** A TLS connection after its handshake, on the handles of Node, without a `TLSSocket`'s streams. */
export class SecureHandleSocket extends OnHandle implements TransportSocket, SecureOwner {
  readonly security: SocketSecurity;
  bytesRead = 0;
  #handle: SecureHandle | undefined;
  /** The handle, from the close until it is freed. */
  #closing: SecureHandle | undefined;
  readonly #isTcp: boolean;
  #isReading = false;
  /** Whether the handle reads. Within the call that ends the handshake it may read although the socket is paused. */
  #isStarted: boolean;
  /** What Node has passed on while the socket was paused. */
  #held: HeldInput | undefined;
  #large: LargeRead | undefined;
  #hasPeerEnded = false;
  #fin: number = Fin.open;
  /** Bytes that were written before the handshake. */
  readonly #writtenBefore: number;
  readonly #writes = new SecureWrites();

  /**
   * @param handle What is read from it is passed on after this call.
   * @param before The socket of the connection during the handshake.
   * @param read What Node has decrypted already.
   * @param isStarted Whether the handle reads. If so, {@link settle} is to be called in the same callback.
   */
  constructor(
    handle: SecureHandle,
    before: Pick<TransportSocket, 'peer' | 'bytesWritten'>,
    security: SocketSecurity,
    read: readonly Uint8Array[],
    isStarted: boolean,
  ) {
    super(before.peer);
    this.#handle = handle;
    this.#isStarted = isStarted;
    this.#isTcp = handle.raw.getpeername !== undefined;
    this.#writtenBefore = before.bytesWritten - handle.tls.bytesWritten;
    this.security = security;
    for (const chunk of read) this.#hold().push(chunk);
    ownSecured(handle, this);
  }

  get copies(): boolean {
    return true;
  }

  protected get isTcp(): boolean {
    return this.#isTcp;
  }

  protected get raw(): Handle | undefined {
    return this.#handle?.raw;
  }

  protected get queued(): number | undefined {
    return this.#handle && this.#writes.queued(this.#handle);
  }

  protected get written(): number {
    return this.#handle === undefined ? 0 : this.#writtenBefore + this.#handle.tls.bytesWritten + this.#writes.waiting;
  }

  protected get isFinSent(): boolean {
    return this.#fin >= Fin.leaving;
  }

  // Reading --------------------------------------------------------------------------------------------------------------

  resume(): void {
    if (this.#isReading || this.#hasPeerEnded || this.#handle === undefined) return;
    this.#isReading = true;
    if (this.#held === undefined) this.#start(this.#handle);
    else if (this.#held.schedules()) process.nextTick(passOn, this);
  }

  pause(): void {
    if (!this.#isReading || this.#handle === undefined) return;
    this.#isReading = false;
    this.settle();
  }

  #start(handle: SecureHandle): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#check(handle.tls.readStart());
  }

  /** Stops the handle if the socket is paused. */
  settle(): void {
    if (this.#isReading || !this.#isStarted || this.#handle === undefined) return;
    this.#isStarted = false;
    this.#check(this.#handle.tls.readStop());
  }

  /** Reading could not be started or stopped. */
  #check(status: number): void {
    if (status < 0) process.nextTick(failRead, this, systemError('read', status));
  }

  bytesReceived(length: number): void {
    if (this.#handle === undefined) return;
    const chunk = prefixes.of(length);
    if (this.#large?.add(chunk) === true) this.flushLarge();
    else if (this.#large !== undefined) return;
    else if (!this.#isPassing) this.#hold().push(chunk);
    else {
      this.#large = LargeRead.begin(chunk, flushLarge, this);
      if (this.#large === undefined) this.handler.received(chunk);
    }
  }

  /** Whether what is received is passed on. */
  get #isPassing(): boolean {
    return this.#isReading && this.#held === undefined;
  }

  /** Passes on a large read as it is. */
  flushLarge(): void {
    const large = this.#large;
    if (large === undefined) return;
    this.#large = undefined;
    try {
      if (this.#isPassing) this.handler.received(large.bytes);
      else this.#hold().push(large.bytes);
    } finally {
      large.release();
    }
  }

  #hold(): HeldInput {
    this.#held ??= new HeldInput();
    return this.#held;
  }

  readEnded(): void {
    if (this.#handle === undefined) return;
    // While the socket is paused, no FIN can arrive.
    this.security.isTruncated = stopAtEnd(this.#handle) && this.#isReading;
    this.flushLarge();
    if (this.isClosed) return;
    if (this.#isPassing) return this.#end();
    this.#hold().hasEnded = true;
  }

  /** Passes on what was held. */
  passOn(): void {
    const held = this.#held;
    if (held === undefined) return;
    held.isScheduled = false;
    let hasThrown = true;
    try {
      while (this.#isReading && this.#handle !== undefined && held.length > 0) this.handler.received(held.shift());
      hasThrown = false;
    } finally {
      // What the handler throws does not keep the rest from it.
      if (hasThrown && held.schedules()) process.nextTick(passOn, this);
    }
    if (!this.#isReading || this.#handle === undefined) return;
    this.#held = undefined;
    if (held.hasEnded) this.#end();
    else this.#start(this.#handle);
  }

  #end(): void {
    this.#hasPeerEnded = true;
    try {
      this.peerEnded();
    } finally {
      this.#destroyIfOver();
    }
  }

  readFailed(error: Error): void {
    this.flushLarge();
    if (this.#handle === undefined) return;
    this.destroy();
    this.failed(error);
  }

  tlsFailed(error: Error): void {
    this.readFailed(tlsError(error));
  }

  // Writing --------------------------------------------------------------------------------------------------------------

  write(data: Written): boolean {
    // A closed socket takes nothing, and neither does one whose write has failed. The handler is notified of that elsewhere.
    if (this.#handle === undefined || this.hasFailed) return false;
    const before = this.bytesWritten;
    const outcome = this.#writes.write(this.#handle, data, this);
    if (outcome === 'now') return true;
    if (typeof outcome === 'number') {
      this.failedAtOnce(before);
      process.nextTick(complete, this, outcome);
    }
    this.isStalled = true;
    return false;
  }

  /** Sends what was written within the handshake. The handler waits for room. */
  sendEarly(pieces: readonly (string | Uint8Array)[]): void {
    this.write(pieces);
    this.isStalled = true;
  }

  writeCompleted(status: number): void {
    if (this.#handle === undefined) return;
    if (status < 0) return this.writeFailed(systemError('write', status));
    // If the write that waits fails, this is what stays.
    if (this.#writes.waiting > 0) void this.pending;
    const outcome = this.#writes.completed(this.#handle, this);
    if (typeof outcome === 'number') return this.writeFailed(systemError('write', outcome));
    if (outcome === 'later') return;
    const wasStalled = this.isStalled;
    this.isStalled = false;
    if (this.#fin === Fin.wanted && !this.#writes.isBusy) this.#shutdown();
    if (wasStalled) this.handler.writable();
  }

  // The end --------------------------------------------------------------------------------------------------------------

  /** Our FIN waits for the write in flight, because a handle that is to be shut down cannot be reset. */
  end(): void {
    if (this.hasFailed || this.#fin !== Fin.open) return;
    this.#fin = Fin.wanted;
    if (!this.#writes.isBusy) this.#shutdown();
  }

  #shutdown(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    // Otherwise `close_notify` might be passed on behind the FIN.
    if (handle.tls.writeQueueSize > 0) return void setImmediate(flush, this);
    this.#fin = Fin.leaving;
    if (!shutdownSecured(handle, this)) process.nextTick(finish, this);
  }

  /** Waits for what Node has encrypted besides, such as tickets. */
  flush(): void {
    if (this.#handle === undefined || this.#writes.isBusy || this.hasFailed) return;
    if (this.#handle.tls.writeQueueSize === 0) return this.#shutdown();
    const status = this.#writes.flush(this.#handle, this);
    if (status < 0) this.writeCompleted(status);
  }

  destroy(): void {
    this.#close(closeSecured);
  }

  /** A unix socket has no RST. libuv refuses to reset a socket whose FIN is being sent, and Node would then never free it. */
  reset(): void {
    this.#close(this.#isTcp && this.#fin !== Fin.leaving ? resetSecured : closeSecured);
  }

  #close(close: (handle: SecureHandle) => void): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.keepFigures();
    // Before the handle is forgotten, because no stack may be left for the call: then the next one closes it.
    close(handle);
    this.#closing = handle;
    this.#handle = undefined;
    this.#held = undefined;
    this.#large?.release();
    this.#large = undefined;
  }

  shutDown(): void {
    if (this.#handle === undefined) return;
    this.#fin = Fin.sent;
    try {
      this.handler.finished();
    } finally {
      this.#destroyIfOver();
    }
  }

  /** Both sides have sent their FIN, so nothing can follow. */
  #destroyIfOver(): void {
    if (this.#hasPeerEnded && this.#fin === Fin.sent) this.destroy();
  }

  closed(): void {
    if (this.#closing) freeSecured(this.#closing);
    this.#closing = undefined;
    this.freed();
  }
}

// For `process.nextTick`, because a handler is not notified within the call that it makes.

const passOn = (socket: SecureHandleSocket): void => socket.passOn();
const flushLarge = (socket: SecureHandleSocket): void => socket.flushLarge();
const failRead = (socket: SecureHandleSocket, error: Error): void => socket.readFailed(error);
const complete = (socket: SecureHandleSocket, status: number): void => socket.writeCompleted(status);
const flush = (socket: SecureHandleSocket): void => socket.flush();
const finish = (socket: SecureHandleSocket): void => socket.shutDown();
