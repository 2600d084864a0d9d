import { Socket } from 'node:net';
import { isData } from '../options.ts';
import type { Written } from './handle.ts';
import { keepReadable } from './nodeInternals.ts';
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

interface OwnedSocket extends Socket {
  [OWNER]: SocketOwner;
}

/** Makes a socket notify its owner. */
export function own(connected: Socket, owner: SocketOwner): void {
  const socket = connected as OwnedSocket;
  socket[OWNER] = owner;
  (socket as Socket).destroy = destroyUnlessUnread;
  socket.on('error', onError);
  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('finish', onFinish);
  socket.on('close', onClose);
}

/**
 * Writes one piece, or several together.
 *
 * @param taken Called for each piece, in a later iteration.
 * @returns Whether the write has failed within the call. Node reports that later, and the input may be read before that.
 */
export function writeTo(socket: Socket, pieces: Written, taken: () => void): boolean {
  if (isData(pieces)) {
    socket.write(pieces, taken);
  } else {
    socket.cork();
    try {
      for (const piece of pieces) socket.write(piece, taken);
    } finally {
      socket.uncork();
    }
  }
  const hasFailed = socket.errored !== null;
  keepReadable(socket);
  return hasFailed;
}

/** Undoes {@link own}: the socket notifies its owner of nothing more. */
export function disown(connected: Socket): void {
  const socket: Partial<Pick<Socket, 'destroy'>> = connected;
  // Uncovers the method of its class.
  delete socket.destroy;
  connected.off('error', onError);
  connected.off('data', onData);
  connected.off('end', onEnd);
  connected.off('finish', onFinish);
  connected.off('close', onClose);
}

function onData(this: Socket, chunk: Buffer): void {
  // A socket that is resumed and then destroyed, in one callback, still emits what Node has read before.
  if (!this.destroyed) (this as OwnedSocket)[OWNER].handler.received(chunk);
}
function onError(this: Socket, error: Error): void {
  (this as OwnedSocket)[OWNER].failed(error);
}
function onEnd(this: Socket): void {
  try {
    (this as OwnedSocket)[OWNER].peerEnded();
  } finally {
    destroyIfOver(this);
  }
}
function onFinish(this: Socket): void {
  try {
    (this as OwnedSocket)[OWNER].handler.finished();
  } finally {
    destroyIfOver(this);
  }
}
function onClose(this: Socket): void {
  (this as OwnedSocket)[OWNER].freed();
}

/** Node does this itself, but not after a listener that throws. */
function destroyIfOver(socket: Socket): void {
  if (socket.readableEnded && socket.writableFinished) socket.destroy();
}

/** In place of `socket.destroy`: Node destroys a socket whose write failed, and drops what it has not read from it. */
function destroyUnlessUnread(this: Socket, error?: NodeJS.ErrnoException): Socket {
  if (error?.syscall !== 'write') return Socket.prototype.destroy.call(this, error);
  keepReadable(this);
  // A read that was to begin meanwhile has not begun.
  if (this.readableFlowing) this.read(0);
  (this as OwnedSocket)[OWNER].writeFailed(error);
  return this;
}
