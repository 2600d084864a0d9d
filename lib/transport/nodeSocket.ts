import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { isData } from '../options.ts';
import { defersEnd, type EndedSocket } from './deferredEnds.ts';
import { handleOf, type WriteListener, type WritingHandle, type Written, writerOf } from './directWrites.ts';
import { NO_HANDLER } from './noHandler.ts';
import { destroyUnlessUnread, type OwnedSocket, own, type SocketOwner } from './ownedSocket.ts';
import type { Address, SocketHandler, TransportSocket } from './transport.ts';

/** The share of a send buffer that Linux frees before it reports room: of TCP, and of a unix socket. */
const TCP_STEP = 1 / 3;
const UNIX_STEP = 3 / 4;

/** A `net.Socket`, as a transport offers it. */
export class NodeSocket implements TransportSocket, SocketOwner, WriteListener, EndedSocket {
  /** A listener sets its own in the call that makes this socket. Nothing can happen to the socket before that. */
  handler: SocketHandler = NO_HANDLER;
  readonly peer: Address;
  readonly borrows: boolean;
  readonly #socket: OwnedSocket;
  #handle: WritingHandle | undefined;
  /** A unix socket has no ports and no RST. */
  readonly #isTcp: boolean;
  #pending = 0;
  #isStalled = false;
  #hasFailed = false;
  /** The notifications that wait for `notifyEnd`, which sends them in this order. */
  #deferred: { ended: boolean; error?: Error; freed: boolean } | undefined;

  /** @param path The path of the unix socket that was connected to, which the system does not report. */
  constructor(connected: Socket, borrows: boolean, path?: string) {
    this.borrows = borrows;
    const socket = own(connected, this, borrows);
    this.#socket = socket;
    this.peer = peerOf(socket, path);
    // The port of a peer that has already closed the connection is unknown, but the local one is still known.
    this.#isTcp = this.peer.port !== undefined || socket.localPort !== undefined;
  }

  /** Looked up on each call. Unlike the peer's address it is still known after the peer has closed, and it is rarely needed. */
  get local(): Address {
    return { address: this.#socket.localAddress, port: this.#socket.localPort };
  }

  get needsPolling(): boolean {
    return this.#isTcp;
  }

  get descriptor(): number | undefined {
    return this.#socket._handle?.fd;
  }

  get pending(): number {
    // The bytes that libuv holds; they decrease while a large write makes progress. Once the handle is closed, the last known
    // number is what was not sent. A failed write leaves libuv's queue as well, but it was not sent either: so the number
    // stays.
    if (!this.#hasFailed) this.#pending = this.#socket._handle?.writeQueueSize ?? this.#pending;
    return this.#pending;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  get roomStep(): number {
    return this.#isTcp ? TCP_STEP : UNIX_STEP;
  }

  get alive(): boolean | undefined {
    // After a RST the kernel no longer knows the peer: ENOTCONN.
    const status = this.#isTcp ? this.#socket._handle?.getpeername?.({}) : undefined;
    return status === undefined ? undefined : status === 0;
  }

  resume(): void {
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  write(data: Written): boolean {
    const socket = this.#socket;
    const write = writerOf(socket);
    if (write === undefined) return this.#writeByNode(data);
    this.#handle ??= handleOf(socket);
    if (this.#handle === undefined) return this.#writeByNode(data);
    // A destroyed socket takes nothing. The handler is notified of its end elsewhere.
    if (socket.destroyed) return false;
    const outcome = write(this.#handle, data, this);
    if (outcome === 'now') return true;
    if (typeof outcome === 'number') {
      this.#hasFailed = true;
      process.nextTick(onWriteFailed, this, writeError(outcome));
    }
    this.#isStalled = true;
    return false;
  }

  /** Called when a write that the kernel did not take at once is complete, or has failed. */
  completed(status: number): void {
    if (this.#socket.destroyed) return;
    if (status < 0) this.writeFailed(writeError(status));
    else this.#notifyWritable();
  }

  /** The socket stays open, because the kernel may still hold what the peer sent before it closed. */
  writeFailed(error: Error): void {
    this.#hasFailed = true;
    if (!this.#socket.destroyed) this.handler.writeFailed(error);
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
    if (ended) this.handler.peerEnded();
    if (error) this.handler.failed(error);
    if (freed) this.handler.freed();
  }

  #writeByNode(data: Written): boolean {
    const socket = this.#socket;
    (socket as Socket).destroy = destroyUnlessUnread;
    // Node calls back in a later iteration. More may have been written by then, without Node's queue.
    const taken = () => socket.writableLength === 0 && this.pending === 0 && this.#notifyWritable();
    if (isData(data)) {
      socket.write(data, taken);
    } else {
      socket.cork();
      for (const piece of data) socket.write(piece, taken);
      socket.uncork();
    }
    this.#isStalled = socket.writableLength > 0;
    return !this.#isStalled;
  }

  #notifyWritable(): void {
    if (!this.#isStalled) return;
    this.#isStalled = false;
    this.#pending = 0;
    this.handler.writable();
  }

  end(): void {
    if (!this.#hasFailed) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  reset(): void {
    const socket = this.#socket;
    // libuv refuses to reset a socket that is shutting down, and Node would then never free the socket.
    const isShuttingDown = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
    if (!this.#isTcp || isShuttingDown) socket.destroy();
    else socket.resetAndDestroy();
  }
}

/** Asks the handle if possible, because Node would keep its own copy of the address on each socket. */
function peerOf(socket: OwnedSocket, path?: string): Address {
  const answer: { address?: string; port?: number } = {};
  if (socket._handle?.getpeername?.(answer) === 0) return { address: answer.address, port: answer.port };
  return { address: socket.remoteAddress ?? path, port: socket.remotePort };
}

/** The same error that Node makes for this error number. */
function writeError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: 'write' });
}

function onWriteFailed(socket: NodeSocket, error: Error): void {
  socket.writeFailed(error);
}
