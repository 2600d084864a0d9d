import { isData } from '../options.ts';
import { byteLength } from '../transport/gather.ts';
import type { Handle, Written } from '../transport/handle.ts';
import type { HandleSocket } from '../transport/handleSocket.ts';
import type { BareServer, HandshakeOwner } from '../transport/nodeTlsHandshake.ts';
import { beginHandshake, endHandshake, wrapHandle } from '../transport/nodeTlsHandshake.ts';
import { closeSecured, freeSecured, resetSecured, type SecureHandle } from '../transport/nodeTlsInternals.ts';
import { OnHandle } from '../transport/onHandle.ts';
import { prefixes } from '../transport/sharedBuffer.ts';
import type { TransportSocket } from '../transport/transport.ts';
import { SecureHandleSocket } from './secureHandleSocket.ts';
import { SocketSecurity } from './security.ts';
import { tlsError } from './tlsError.ts';
import { refused } from './tlsSide.ts';

/** A connection within a server's handshake, on the handles of Node, without a `TLSSocket`. */
export class HandshakeSocket extends OnHandle implements TransportSocket, HandshakeOwner {
  bytesRead = 0;
  #handle: SecureHandle | undefined;
  /** The handle, from the close until it is freed. */
  #closing: SecureHandle | undefined;
  readonly #isTcp: boolean;
  readonly #writtenBefore: number;
  #onSecured: ((socket: SecureHandleSocket) => void) | undefined;
  #isReading = false;
  /** What is written within the handshake, for the end of it, and its length in bytes. */
  readonly #early: (string | Uint8Array)[] = [];
  #earlyLength = 0;
  #isFinWanted = false;
  /** What Node has decrypted within the handshake. */
  #read: Uint8Array[] | undefined;

  /**
   * @param before The socket of the connection so far. From then on it does nothing.
   * @param hello What was read from it.
   * @param onSecured Called once, when the handshake is complete, with the socket to use from then on, whose handler must be set
   *   within the call. If the handshake fails, the handler is notified of that.
   */
  constructor(
    server: BareServer,
    before: HandleSocket,
    hello: Uint8Array,
    onSecured: (socket: SecureHandleSocket) => void,
  ) {
    super(before.peer);
    this.#onSecured = onSecured;
    const { isReading } = before;
    const handle = before.release();
    this.#writtenBefore = before.bytesWritten;
    this.#isTcp = handle.getpeername !== undefined;
    try {
      this.#handle = wrapHandle(server, handle, this);
      process.nextTick(begin, this, hello, isReading);
    } catch (error) {
      handle.close(() => this.freed());
      process.nextTick(fail, this, error);
    }
  }

  protected get isTcp(): boolean {
    return this.#isTcp;
  }

  protected get raw(): Handle | undefined {
    return this.#handle?.raw;
  }

  protected get queued(): number | undefined {
    return this.#handle && this.#earlyLength;
  }

  protected get written(): number {
    return this.#writtenBefore + this.#earlyLength;
  }

  protected get isFinSent(): boolean {
    return false;
  }

  resume(): void {
    this.#isReading = true;
  }

  pause(): void {
    this.#isReading = false;
  }

  write(data: Written): boolean {
    if (this.#handle === undefined) return false;
    for (const piece of isData(data) ? [data] : data) {
      this.#early.push(piece);
      this.#earlyLength += byteLength(piece);
    }
    return this.#earlyLength === 0;
  }

  end(): void {
    this.#isFinWanted = true;
  }

  destroy(): void {
    this.#close(closeSecured);
  }

  reset(): void {
    this.#close(this.#isTcp ? resetSecured : closeSecured);
  }

  #close(close: (handle: SecureHandle) => void): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.keepFigures();
    // Before the handle is forgotten, because no stack may be left for the call: then the next one closes it.
    close(handle);
    this.#closing = handle;
    this.#handle = undefined;
  }

  // The handshake --------------------------------------------------------------------------------------------------------

  begin(hello: Uint8Array, isReading: boolean): void {
    if (this.#handle) beginHandshake(this.#handle, hello, isReading);
  }

  secured(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    const before = { peer: this.peer, bytesWritten: this.#writtenBefore };
    const socket = new SecureHandleSocket(handle, before, new SocketSecurity(handle.socket), this.#read ?? [], true);
    this.keepFigures();
    this.#handle = undefined;
    this.#onSecured?.(socket);
    if (this.#earlyLength > 0) socket.sendEarly(this.#early);
    if (this.#isFinWanted) socket.end();
    if (this.#isReading) socket.resume();
    socket.settle();
  }

  handshakeFailed(error: Error): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.destroy();
    this.failed(refused(error, handle.socket));
  }

  readEnded(): void {
    if (this.#handle) endHandshake(this.#handle);
  }

  readFailed(error: Error): void {
    if (this.#handle) endHandshake(this.#handle, error);
  }

  tlsFailed(error: Error): void {
    this.handshakeFailed(error);
  }

  bytesReceived(length: number): void {
    this.#read ??= [];
    this.#read.push(Uint8Array.prototype.slice.call(prefixes.of(length)));
  }

  closed(): void {
    if (this.#closing) freeSecured(this.#closing);
    this.#closing = undefined;
    this.freed();
  }

  // Nothing is passed to the handle before the end of the handshake.
  writeCompleted(): void {}
  shutDown(): void {}
}

function begin(socket: HandshakeSocket, hello: Uint8Array, isReading: boolean): void {
  socket.begin(hello, isReading);
}

function fail(socket: HandshakeSocket, error: Error): void {
  socket.failed(tlsError(error));
}
