import { createServer, type ListenOptions, type Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { type Completed, type WritingHandle, type Written, writeDirectly, writingHandle } from './directWrites.ts';
import { takeAccepted } from './sharedReads.ts';
import type { Address, SocketHandler, Transport, TransportSocket, Where } from './transport.ts';

/** Bytes that Node reads, or keeps unsent, before it holds back. Node 20 has 16 KiB, later ones 64: one number for all. */
const HIGH_WATER_MARK = 64 * 1024;

/**
 * TCP and unix sockets, by `node:net`.
 *
 * Reads go into one buffer that all connections share, where this Node can do that; else, or with `SLUICE_READS=data` in
 * the environment, each read has memory of its own.
 */
export const nodeTransport: Transport = {
  listen(where, options, handler) {
    const { backlog, noDelay, keepAlive } = options;
    const server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay,
      keepAlive: keepAlive !== false,
      keepAliveInitialDelay: keepAlive === false ? 0 : keepAlive,
      highWaterMark: HIGH_WATER_MARK,
    });
    server.on('connection', (socket) => handler.accepted(new NodeSocket(socket, false)));
    server.on('listening', () => {
      if (process.env.SLUICE_READS !== 'data') {
        const accepted = (socket: Socket) => handler.accepted(new NodeSocket(socket, true));
        takeAccepted(server, { noDelay, keepAlive, highWaterMark: HIGH_WATER_MARK }, onData, accepted);
      }
      handler.listening(boundTo(server.address(), where));
    });
    server.on('error', (error) => handler.error(error));
    server.listen({ ...where, backlog } satisfies ListenOptions);
    return { close: () => server.close() };
  },
};

function boundTo(bound: string | { address: string; port: number } | null, where: Where): Address {
  if (bound !== null && typeof bound === 'object') return { address: bound.address, port: bound.port };
  return { address: bound ?? ('path' in where ? where.path : undefined), port: undefined };
}

/** The key under which a `net.Socket` knows its {@link NodeSocket}: listeners are shared, so a socket costs no closures. */
const OWNER = Symbol('owner');

interface OwnedSocket extends Socket {
  [OWNER]: NodeSocket;
  /** Not documented, but there in every release: the descriptor and what libuv has not written yet. */
  _handle?: { fd?: number; writeQueueSize?: number; getpeername?(out: object): number } | null;
}

class NodeSocket implements TransportSocket, Completed {
  handler: SocketHandler = NOBODY;
  readonly local: Address;
  readonly peer: Address;
  readonly borrows: boolean;
  readonly #socket: OwnedSocket;
  #handle: WritingHandle | undefined;
  #pending = 0;
  #stalled = false;

  constructor(accepted: Socket, borrows: boolean) {
    this.borrows = borrows;
    const socket = accepted as OwnedSocket;
    this.#socket = socket;
    this.peer = { address: socket.remoteAddress, port: socket.remotePort };
    this.local = { address: socket.localAddress, port: socket.localPort };
    socket[OWNER] = this;
    socket.on('error', onError);
    if (!borrows) socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('finish', onFinish);
    socket.on('close', onClose);
  }

  get descriptor(): number | undefined {
    return this.#socket._handle?.fd;
  }

  get pending(): number {
    // What libuv holds, in bytes, falls while a large write makes progress. When the handle is gone what was known last is
    // what did not leave.
    this.#pending = this.#socket._handle?.writeQueueSize ?? this.#pending;
    return this.#pending;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  get alive(): boolean | undefined {
    // After a RST the kernel knows the peer no more: ENOTCONN.
    const answer = this.local.port === undefined ? undefined : this.#socket._handle?.getpeername?.({});
    return answer === undefined ? undefined : answer === 0;
  }

  resume(): void {
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  write(data: Written): boolean {
    const socket = this.#socket;
    this.#handle ??= writingHandle(socket);
    if (this.#handle === undefined) return this.#write(data);
    // A socket that is gone takes nothing, and has said so or is about to.
    if (socket.destroyed) return false;
    const outcome = writeDirectly(this.#handle, data, this);
    if (outcome === 'now') return true;
    if (typeof outcome === 'number') socket.destroy(failure(outcome));
    this.#stalled = true;
    return false;
  }

  /** A write that was not taken at once has been, or has failed. */
  completed(status: number): void {
    if (this.#socket.destroyed) return;
    if (status < 0) this.#socket.destroy(failure(status));
    else this.#taken();
  }

  #write(data: Written): boolean {
    const socket = this.#socket;
    const taken = () => this.#socket.writableLength === 0 && this.#taken();
    if (typeof data === 'string' || data instanceof Uint8Array) {
      socket.write(data, taken);
    } else {
      socket.cork();
      for (const piece of data) socket.write(piece, taken);
      socket.uncork();
    }
    this.#stalled = socket.writableLength > 0;
    return !this.#stalled;
  }

  #taken(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#pending = 0;
    this.handler.drained();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  reset(): void {
    const socket = this.#socket;
    // A unix socket knows no RST. And libuv refuses to reset while it shuts down: Node would then keep the socket for ever.
    const shutsDown = socket.writableEnded && socket.writableLength === 0;
    if (this.local.port === undefined || shutsDown) socket.destroy();
    else socket.resetAndDestroy();
  }
}

/** The error that Node itself would make of the number. */
function failure(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: 'write' });
}

function onError(this: Socket, error: Error): void {
  (this as OwnedSocket)[OWNER].handler.broken(error);
}
function onData(this: Socket, chunk: Buffer): void {
  (this as OwnedSocket)[OWNER].handler.received(chunk);
}
function onEnd(this: Socket): void {
  (this as OwnedSocket)[OWNER].handler.peerEnded();
}
function onFinish(this: Socket): void {
  (this as OwnedSocket)[OWNER].handler.finished();
}
function onClose(this: Socket): void {
  (this as OwnedSocket)[OWNER].handler.freed();
}

/** For the moment between a socket's birth and its handler's; nothing can happen in it, as both are in one call. */
const NOBODY: SocketHandler = { received() {}, peerEnded() {}, drained() {}, finished() {}, broken() {}, freed() {} };
