import { isData } from '../options.ts';
import { gather } from '../transport/gather.ts';
import type { Written } from '../transport/handle.ts';
import { isPeerKnown } from '../transport/nodeInternals.ts';
import { NodeSocket } from '../transport/nodeSocket.ts';
import {
  closeSecured,
  freeSecured,
  ownSecured,
  resetSecured,
  type SecureHandle,
  type SecureOwner,
  shutdownSecured,
  stopAtEnd,
  writeSecured,
} from '../transport/nodeTlsInternals.ts';
import { prefixes } from '../transport/sharedBuffer.ts';
import { systemError } from '../transport/systemError.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import { HeldInput } from './heldInput.ts';
import type { SocketSecurity } from './security.ts';
import { tlsError } from './tlsError.ts';

/** What has become of our FIN. */
const Fin = { open: 0, wanted: 1, leaving: 2, sent: 3 } as const;

/** A TLS connection after its handshake, on the handles of Node, without a `TLSSocket`'s streams. */
export class SecureHandleSocket extends NodeSocket implements TransportSocket, SecureOwner {
  readonly security: SocketSecurity;
  bytesRead = 0;
  #handle: SecureHandle | undefined;
  /** The handle, from the close until it is freed. */
  #closing: SecureHandle | undefined;
  readonly #isTcp: boolean;
  #isReading = false;
  /** What Node has passed on while the socket was paused. */
  #held: HeldInput | undefined;
  #hasPeerEnded = false;
  #fin: number = Fin.open;
  /** Bytes that were written before the handshake. */
  readonly #writtenBefore: number;
  /** Node has not completed the last write. Another one would abort the process. */
  #isBusy = false;
  /** What waits for that, and its length in bytes. */
  #next: (string | Uint8Array)[] = [];
  #nextLength = 0;
  /** Bytes of the write that the network has not taken at once; 0 if it has. */
  #inFlight = 0;
  /** As how many encrypted bytes they are sent, and how many had been passed to the handle beneath before them. */
  #encrypted = 0;
  #passedBefore = 0;

  /**
   * @param handle What is read from it is passed on after this call.
   * @param before The socket of the connection during the handshake.
   * @param read What Node has decrypted already.
   */
  constructor(
    handle: SecureHandle,
    before: Pick<TransportSocket, 'peer' | 'bytesWritten'>,
    security: SocketSecurity,
    read: readonly Uint8Array[],
  ) {
    super(before.peer);
    this.#handle = handle;
    this.#isTcp = handle.raw.getpeername !== undefined;
    this.#writtenBefore = before.bytesWritten - handle.tls.bytesWritten;
    this.security = security;
    for (const chunk of read) this.#hold().push(chunk);
    ownSecured(handle, this);
  }

  get borrows(): boolean {
    return true;
  }

  protected get isTcp(): boolean {
    return this.#isTcp;
  }

  protected get isClosed(): boolean {
    return this.#handle === undefined;
  }

  get local(): Address {
    const answer: Partial<Address> = {};
    this.#handle?.raw.getsockname?.(answer);
    return { address: answer.address, port: answer.port };
  }

  get descriptor(): number | undefined {
    return this.#handle?.raw.fd;
  }

  /** The share of the write in flight that is not sent, by its encrypted bytes, and what waits for its end. */
  protected get queued(): number | undefined {
    if (this.#handle === undefined) return undefined;
    if (this.#inFlight === 0) return this.#nextLength;
    const { raw } = this.#handle;
    const sent = raw.bytesWritten - raw.writeQueueSize - this.#passedBefore;
    const left = 1 - Math.min(1, Math.max(0, sent / this.#encrypted));
    return Math.ceil(this.#inFlight * left) + this.#nextLength;
  }

  protected get written(): number {
    return this.#handle === undefined ? 0 : this.#writtenBefore + this.#handle.tls.bytesWritten + this.#nextLength;
  }

  protected get isPeerKnown(): boolean | undefined {
    return isPeerKnown(this.#handle?.raw);
  }

  protected get isFinSent(): boolean {
    return this.#fin >= Fin.leaving;
  }

  // Reading --------------------------------------------------------------------------------------------------------------

  resume(): void {
    if (this.#isReading || this.#hasPeerEnded || this.#handle === undefined) return;
    this.#isReading = true;
    if (this.#held === undefined) this.#check(this.#handle.tls.readStart());
    else if (this.#held.schedules()) process.nextTick(passOn, this);
  }

  pause(): void {
    if (!this.#isReading || this.#handle === undefined) return;
    this.#isReading = false;
    this.#check(this.#handle.tls.readStop());
  }

  /** Reading could not be started or stopped. */
  #check(status: number): void {
    if (status < 0) process.nextTick(failRead, this, systemError('read', status));
  }

  bytesReceived(length: number): void {
    if (this.#handle === undefined) return;
    const chunk = prefixes.of(length);
    if (this.#isReading && this.#held === undefined) return this.handler.received(chunk);
    this.#hold().push(chunk);
  }

  #hold(): HeldInput {
    this.#held ??= new HeldInput();
    return this.#held;
  }

  readEnded(): void {
    if (this.#handle === undefined) return;
    // While the socket is paused, no FIN can arrive.
    this.security.isTruncated = stopAtEnd(this.#handle) && this.#isReading;
    if (this.#isReading && this.#held === undefined) return this.#end();
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
      // What the handler throws keeps the rest not from it.
      if (hasThrown && held.schedules()) process.nextTick(passOn, this);
    }
    if (!this.#isReading || this.#handle === undefined) return;
    this.#held = undefined;
    if (held.hasEnded) this.#end();
    else this.#check(this.#handle.tls.readStart());
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
    if (this.#isBusy) return this.#queue(data);
    const before = this.bytesWritten;
    const status = this.#send(this.#handle, data);
    if (status < 0) {
      this.failedAtOnce(before);
      process.nextTick(complete, this, status);
    }
    return !this.isStalled;
  }

  /** Node has not completed the last write, although the network may have taken it. */
  #queue(data: Written): boolean {
    const pieces = isData(data) ? [data] : data;
    const length = pieces.reduce((sum, piece) => sum + byteLength(piece), 0);
    if (length > 0) {
      this.#next.push(...pieces);
      this.#nextLength += length;
      this.isStalled = true;
    }
    return !this.isStalled;
  }

  /** @returns The number of an error, or 0. */
  #send(handle: SecureHandle, data: Written): number {
    const pieces = isData(data) ? data : (gather(data) ?? data);
    // Node would read within a write of nothing.
    if (pieces.length === 0) return 0;
    const { tls, raw } = handle;
    const passedBefore = raw.bytesWritten;
    const writtenBefore = tls.bytesWritten;
    const status = writeSecured(handle, pieces, this);
    if (status < 0) return status;
    this.#isBusy = true;
    const written = tls.bytesWritten - writtenBefore;
    const encrypted = tls.writeQueueSize;
    // Within a renegotiation, nothing is encrypted yet. Otherwise each byte is, and some more are added.
    if (encrypted > written && raw.bytesWritten - passedBefore >= encrypted && raw.writeQueueSize === 0) return 0;
    this.#inFlight = written;
    this.#encrypted = Math.max(encrypted, written);
    this.#passedBefore = passedBefore;
    this.isStalled = true;
    return 0;
  }

  writeCompleted(status: number): void {
    if (this.#handle === undefined) return;
    this.#isBusy = false;
    if (status < 0) return this.writeFailed(systemError('write', status));
    this.#inFlight = 0;
    if (this.#nextLength > 0) return this.#sendNext(this.#handle);
    const wasStalled = this.isStalled;
    this.isStalled = false;
    if (this.#fin === Fin.wanted) this.#shutdown();
    if (wasStalled) this.handler.writable();
  }

  #sendNext(handle: SecureHandle): void {
    // If the write fails, this is what stays.
    void this.pending;
    const pieces = this.#next;
    this.#next = [];
    this.#nextLength = 0;
    this.isStalled = false;
    const status = this.#send(handle, pieces.length === 1 ? (pieces[0] as string | Uint8Array) : pieces);
    if (status < 0) this.writeFailed(systemError('write', status));
    else if (!this.isStalled) this.handler.writable();
  }

  // The end --------------------------------------------------------------------------------------------------------------

  /** Our FIN waits for the write in flight, because a handle that is to be shut down cannot be reset. */
  end(): void {
    if (this.hasFailed || this.#fin !== Fin.open) return;
    this.#fin = Fin.wanted;
    if (!this.#isBusy) this.#shutdown();
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
    if (this.#handle === undefined || this.#isBusy || this.hasFailed) return;
    if (this.#handle.tls.writeQueueSize === 0) return this.#shutdown();
    this.#isBusy = true;
    const status = writeSecured(this.#handle, NOTHING, this);
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
    this.security.keepCertificate();
    // Before the handle is forgotten, because no stack may be left for the call: then the next one closes it.
    close(handle);
    this.#closing = handle;
    this.#handle = undefined;
    this.#held = undefined;
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

/** A write of nothing. */
const NOTHING = new Uint8Array(0);

const byteLength = (piece: string | Uint8Array): number =>
  typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;

// For `process.nextTick`, because a handler is not notified within the call that it makes.

function passOn(socket: SecureHandleSocket): void {
  socket.passOn();
}

function failRead(socket: SecureHandleSocket, error: Error): void {
  socket.readFailed(error);
}

function complete(socket: SecureHandleSocket, status: number): void {
  socket.writeCompleted(status);
}

function flush(socket: SecureHandleSocket): void {
  socket.flush();
}

function finish(socket: SecureHandleSocket): void {
  socket.shutDown();
}
