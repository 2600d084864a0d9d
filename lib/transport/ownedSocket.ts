import { Socket } from 'node:net';
import type { SocketHandler } from './transport.ts';

/** The object that a `net.Socket` notifies of its events. */
export interface SocketOwner {
  readonly handler: SocketHandler;
  peerEnded(): void;
  writeFailed(error: Error): void;
  failed(error: Error): void;
  freed(): void;
}

/** The key of a socket's owner on it. So all sockets share the listeners below, and none costs closures of its own. */
const OWNER = Symbol('owner');

/** A socket that has an owner. */
export interface OwnedSocket extends Socket {
  [OWNER]: SocketOwner;
  /** Undocumented, but present in every release: the descriptor, and the bytes that libuv has not written yet. */
  _handle?: { fd?: number; writeQueueSize?: number; getpeername?(out: object): number } | null;
}

/**
 * Makes a socket notify its owner.
 *
 * @param borrows Whether the socket reads into the shared buffer, and calls {@link onData} by itself.
 */
export function own(connected: Socket, owner: SocketOwner, borrows: boolean): OwnedSocket {
  const socket = connected as OwnedSocket;
  socket[OWNER] = owner;
  socket.on('error', onError);
  if (!borrows) socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('finish', onFinish);
  socket.on('close', onClose);
  return socket;
}

/** Called within each read, with the socket as `this`. */
export function onData(this: Socket, chunk: Buffer): void {
  (this as OwnedSocket)[OWNER].handler.received(chunk);
}
function onError(this: Socket, error: Error): void {
  (this as OwnedSocket)[OWNER].failed(error);
}
function onEnd(this: Socket): void {
  (this as OwnedSocket)[OWNER].peerEnded();
}
function onFinish(this: Socket): void {
  (this as OwnedSocket)[OWNER].handler.finished();
}
function onClose(this: Socket): void {
  (this as OwnedSocket)[OWNER].freed();
}

/**
 * Replaces `socket.destroy` where Node itself writes. Node destroys a socket whose write failed, and drops what it has not read
 * from it. Node marks the input as failed, too; such an input never emits its end.
 */
export function destroyUnlessUnread(this: Socket, error?: NodeJS.ErrnoException): Socket {
  if (error?.syscall !== 'write') return Socket.prototype.destroy.call(this, error);
  const { _readableState: input } = this as { _readableState?: { errored: Error | null } };
  if (input) input.errored = null;
  (this as OwnedSocket)[OWNER].writeFailed(error);
  return this;
}
