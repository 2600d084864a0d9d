import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isData } from '../options.ts';
import { gather, joinIfTooMany, lengthOf } from '../transport/gather.ts';
import type { Written } from '../transport/handle.ts';
import { HandleSocket } from '../transport/handleSocket.ts';
import { descriptorOf, isConnected, onEndOfInput, queuedOf, takenOf } from '../transport/nodeInternals.ts';
import { NodeSocket } from '../transport/nodeSocket.ts';
import { type TakenHandle, takeSecured } from '../transport/nodeTlsInternals.ts';
import { own, type SocketOwner, writeTo } from '../transport/ownedSocket.ts';
import type { Address, TransportSocket } from '../transport/transport.ts';
import { SecureHandleSocket } from './secureHandleSocket.ts';
import { SocketSecurity } from './security.ts';
import { tlsError } from './tlsError.ts';
import type { HandshakeHandler, TlsSide } from './tlsSide.ts';

/** A TLS connection after its handshake. */
export type SecuredSocket = TransportSocket & { readonly security: SocketSecurity };

/** A write of this many bytes at most is one record of TLS. The kernel has taken it if libuv holds nothing of it. */
const RECORD = 16 * 1024;

/** The greatest share of a record that can be data: no cipher of TLS 1.2 or 1.3 adds less than 21 bytes to each. */
const DATA = RECORD / (RECORD + 21);

/** A TLS connection: the socket of a transport from the begin of its handshake. */
export class SecureSocket extends NodeSocket implements TransportSocket, SocketOwner, HandshakeHandler {
  /** What was negotiated; `undefined` during the handshake. */
  security: SocketSecurity | undefined;
  readonly #raw: Socket;
  readonly #isTcp: boolean;
  readonly #isOnHandle: boolean;
  #onSecured: ((socket: SecuredSocket) => void) | undefined;
  #socket: TLSSocket | undefined;
  #isReading = false;
  /** What is written during the handshake. */
  #early: Written | undefined;
  #isFinWanted = false;
  /** Bytes that were passed to write. */
  #written: number;
  /** Bytes of the write that the network has not taken at once. */
  #inFlight = 0;
  /** Encrypted bytes that the network had taken before it. */
  #takenBefore: number | undefined;
  /** The handshake has failed, or the connection was closed before its end. */
  #isOver = false;

  /**
   * Begins the handshake.
   *
   * @param side Our certificates and settings.
   * @param raw A paused socket.
   * @param before The socket of the connection so far, which has been detached.
   * @param onSecured Called once, when the handshake is complete, with the socket to use from then on: this one, or one that
   *   costs less, whose handler must be set within the call. If the handshake fails, the handler is notified of that.
   */
  constructor(side: TlsSide, raw: Socket, before: TransportSocket, onSecured: (socket: SecuredSocket) => void) {
    super(before.peer);
    this.#isOnHandle = before instanceof HandleSocket;
    this.#raw = raw;
    this.#isTcp = this.peer.port !== undefined || raw.localPort !== undefined;
    this.#written = before.bytesWritten;
    this.#onSecured = onSecured;
    raw.on('error', ignore);
    // Later, because Node reports only after it why it has closed the connection of a client whose certificate it rejects.
    raw.on('close', () => this.#socket === undefined && setImmediate(() => this.freed()));
    // Otherwise Node would not notice a peer that sends a FIN within the handshake.
    raw.allowHalfOpen = false;
    try {
      side.begin(raw, this);
    } catch (error) {
      // Node validates some options only here, and leaves the socket open. It may have made a socket of TLS that reads in this
      // iteration, which would fail, with an error that nothing handles.
      later(() => raw.destroy());
      process.nextTick(() => this.failed(error as Error));
    }
  }

  get borrows(): boolean {
    return false;
  }

  protected get isTcp(): boolean {
    return this.#isTcp;
  }

  protected get isClosed(): boolean {
    return this.#isOver || (this.#socket ?? this.#raw).destroyed;
  }

  get local(): Address {
    return { address: this.#raw.localAddress, port: this.#raw.localPort };
  }

  get descriptor(): number | undefined {
    return descriptorOf(this.#raw);
  }

  /** Of the write in flight only encrypted bytes are known. Counted as sent are the most bytes of data that they can contain. */
  protected get queued(): number | undefined {
    if (this.isClosed) return undefined;
    const taken = takenOf(this.#raw);
    if (this.#inFlight === 0 || taken === undefined || this.#takenBefore === undefined) return this.#inFlight;
    return Math.max(0, this.#inFlight - Math.ceil((taken - this.#takenBefore) * DATA));
  }

  protected get written(): number {
    return this.#written;
  }

  protected get isPeerKnown(): boolean | undefined {
    return this.#isTcp ? isConnected(this.#raw) : undefined;
  }

  protected get isFinSent(): boolean {
    const { writableEnded = false, writableLength = 0 } = this.#socket ?? {};
    return writableEnded && writableLength === 0;
  }

  resume(): void {
    this.#isReading = true;
    if (!this.isClosed) this.#socket?.resume();
  }

  pause(): void {
    this.#isReading = false;
    this.#socket?.pause();
  }

  write(data: Written): boolean {
    if (this.isClosed || this.hasFailed) return false;
    const length = lengthOf(data);
    const before = this.#written;
    this.#written += length;
    if (!this.isStalled) {
      this.#inFlight = 0;
      this.#takenBefore = this.#socket && takenOf(this.#raw);
    }
    this.#inFlight += length;
    this.isStalled = true;
    if (this.#socket === undefined) this.#early = data;
    else this.#send(this.#socket, data, before);
    return !this.isStalled;
  }

  /** @param before Bytes that had been passed to write before this data. */
  #send(socket: TLSSocket, data: Written, before: number): void {
    // Node calls back in a later iteration. More may have been written by then.
    const taken = () => socket.writableLength === 0 && this.#notifyWritable();
    const isFirst = socket.writableLength === 0;
    // If nothing is in flight Node encrypts the bytes within the call, so the shared buffer of `gather` can serve.
    const pieces = isData(data) ? data : ((isFirst ? gather(data) : undefined) ?? joinIfTooMany(data));
    const hasFailed = writeTo(socket, pieces, taken);
    if (hasFailed) {
      // Nothing of it is counted as written, and so nothing of it is pending.
      this.#inFlight = 0;
      return this.failedAtOnce(before);
    }
    if (!isFirst || this.#inFlight > RECORD || queuedOf(this.#raw) !== 0) return;
    this.#nothingPends();
  }

  #nothingPends(): void {
    this.isStalled = false;
    this.#inFlight = 0;
    // Once the socket is closed, the number that was last read stays.
    void this.pending;
  }

  #notifyWritable(): void {
    // Node calls back for each write of a closed socket, too.
    if (!this.isStalled || this.hasFailed || this.isClosed) return;
    this.#nothingPends();
    this.handler.writable();
  }

  end(): void {
    if (this.hasFailed || this.isClosed) return;
    this.#isFinWanted = true;
    this.#socket?.end();
  }

  destroy(): void {
    const socket = this.#socket;
    if (!this.#leave()) return;
    if (socket) socket.destroy();
    else later(() => this.#raw.destroy());
  }

  reset(): void {
    const socket = this.#socket;
    // libuv refuses to reset a socket that is shutting down, and Node would then never free the socket. The socket of TLS
    // cannot be reset, but the one beneath can.
    const isShuttingDown = socket?.writableEnded && !socket.writableFinished;
    if (!this.#isTcp || isShuttingDown || this.#raw.destroyed) return this.destroy();
    if (!this.#leave()) return;
    if (socket === undefined) return later(() => this.#raw.resetAndDestroy());
    destroyAfter(this.#raw, socket);
    this.#raw.resetAndDestroy();
  }

  /** From now on nothing is reported but the close. @returns Whether it is to be closed. */
  #leave(): boolean {
    if (this.#isOver) return false;
    this.keepFigures();
    this.#isOver = true;
    // Otherwise it would emit what it holds.
    this.#socket?.pause();
    return true;
  }

  // The handshake (HandshakeHandler) ------------------------------------------------------------------------------------

  secured(socket: TLSSocket): void {
    // It was closed within this handshake: the close of the socket beneath ends that of TLS.
    if (this.#isOver) return void socket.on('error', ignore);
    if (this.#isOnHandle && this.#early === undefined && !this.#isReading && !this.#isFinWanted) {
      const handle = takeSecured(socket);
      if (handle) return this.#continueOn(handle);
    }
    this.#socket = socket;
    socket.allowHalfOpen = this.#raw.allowHalfOpen = true;
    this.security = new SocketSecurity(socket);
    // Otherwise the listener for `data` would make it flow.
    socket.pause();
    own(socket, this);
    onEndOfInput(socket, this.#raw, (isTruncated) => {
      if (this.security) this.security.isTruncated = isTruncated;
    });
    const early = this.#early;
    this.#early = undefined;
    this.#takenBefore = takenOf(this.#raw);
    if (early !== undefined) this.#send(socket, early, this.#written - this.#inFlight);
    if (this.#isFinWanted) socket.end();
    if (this.#isReading) socket.resume();
    this.#reportSecured(this as this & { security: SocketSecurity });
    // The handler was told that the write is not taken.
    if (early !== undefined && !this.isStalled) {
      this.isStalled = true;
      this.#notifyWritable();
    }
  }

  /** From now on this socket does nothing. */
  #continueOn(handle: TakenHandle): void {
    const security = new SocketSecurity(handle.socket);
    const socket = new SecureHandleSocket(handle, this, security, handle.read, false);
    this.keepFigures();
    this.#isOver = true;
    this.#reportSecured(socket);
  }

  #reportSecured(socket: SecuredSocket): void {
    const onSecured = this.#onSecured;
    // It may hold what was read before, for which the connection has no more use.
    this.#onSecured = undefined;
    onSecured?.(socket);
  }

  override peerEnded(): void {
    if (!this.#isOver) super.peerEnded();
  }

  override failed(error: Error): void {
    if (this.#isOver) return;
    // After an error of TLS, Node leaves the socket open. Its alert has been passed to the kernel.
    if (this.#socket) this.destroy();
    // Within a handshake Node destroys the socket when it has emitted the error.
    this.#isOver = true;
    super.failed(tlsError(error));
  }
}

/**
 * In a later phase of the event loop. If the socket beneath is destroyed in a callback of TLS, such as that of a check, and Node
 * destroys the socket of TLS in the same tick, the process ends with a segmentation fault (seen on Node 20, 22, 24 and 26).
 */
const later = (close: () => void) => void setImmediate(close);

/** Keeps a socket of TLS from being destroyed before the one beneath is closed, for the same reason. */
function destroyAfter(raw: Socket, socket: TLSSocket): void {
  const { destroy } = socket;
  socket.destroy = () => socket;
  raw.once('close', () => {
    socket.destroy = destroy;
    socket.destroy();
  });
}

/** Node's own: a fake clock might never call back. */
const { setImmediate } = globalThis;

const ignore = () => undefined;
