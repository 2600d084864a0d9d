import { createServer, type ListenOptions, type NetConnectOpts, Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { isData } from '../options.ts';
import { type Departing, departsLater } from './departures.ts';
import { type Completed, handleOf, type WritingHandle, type Written, writerOf } from './directWrites.ts';
import { sharedBuffer, takeAccepted } from './sharedReads.ts';
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
    const { backlog, noDelay } = options;
    const keepAlive = probing(options.keepAlive);
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
      if (sharesReads()) {
        const accepted = (socket: Socket) => handler.accepted(new NodeSocket(socket, true));
        takeAccepted(server, { noDelay, keepAlive, highWaterMark: HIGH_WATER_MARK }, onData, accepted);
      }
      handler.listening(boundTo(server.address(), where));
    });
    server.on('error', (error) => handler.error(error));
    server.listen({ ...where, backlog } satisfies ListenOptions);
    return { close: () => server.close() };
  },

  connect(where, { noDelay, keepAlive: silence }, handler) {
    const keepAlive = probing(silence);
    const borrows = sharesReads();
    const reads = borrows ? { onread: sharedBuffer(onData) } : {};
    const how = { ...reads, allowHalfOpen: true, highWaterMark: HIGH_WATER_MARK };
    const socket = new Socket(how);
    if (noDelay) socket.setNoDelay();
    if (keepAlive !== false) socket.setKeepAlive(true, keepAlive);
    // Else it reads as soon as it is connected.
    socket.pause();
    const fail = (error: Error) => handler.failed(error);
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      handler.connected(new NodeSocket(socket, borrows, 'path' in where ? where.path : undefined));
    });
    socket.connect(where as NetConnectOpts);
    const cancel = () => {
      if (socket.connecting) socket.off('error', fail).on('error', ignore).destroy();
    };
    return { cancel };
  },
};

/** As the kernel takes it, in whole seconds that fit into 15 bits: to any other it says no, and probes after two hours. */
function probing(keepAlive: number | false): number | false {
  if (keepAlive === false || keepAlive === Number.POSITIVE_INFINITY) return false;
  return 1000 * Math.min(Math.max(Math.ceil(keepAlive / 1000), 1), 0x7fff);
}

/** Nobody waits for it any more. */
const ignore = () => undefined;

/** Asked each time, so that a spec can do both in one process. */
const sharesReads = () => process.env.SLUICE_READS !== 'data';

function boundTo(bound: string | { address: string; port: number } | null, where: Where): Address {
  if (bound !== null && typeof bound === 'object') return { address: bound.address, port: bound.port };
  return { address: bound ?? ('path' in where ? where.path : undefined), port: undefined };
}

/** The share of a send buffer that Linux frees before it reports room: of TCP, and of a unix socket. */
const TCP_STEP = 1 / 3;
const UNIX_STEP = 3 / 4;

/** The key under which a `net.Socket` knows its {@link NodeSocket}: listeners are shared, so a socket costs no closures. */
const OWNER = Symbol('owner');

interface OwnedSocket extends Socket {
  [OWNER]: NodeSocket;
  /** Not documented, but there in every release: the descriptor and what libuv has not written yet. */
  _handle?: { fd?: number; writeQueueSize?: number; getpeername?(out: object): number } | null;
}

class NodeSocket implements TransportSocket, Completed, Departing {
  handler: SocketHandler = NOBODY;
  readonly peer: Address;
  readonly borrows: boolean;
  readonly #socket: OwnedSocket;
  #handle: WritingHandle | undefined;
  /** A unix socket has no ports. */
  readonly #isTcp: boolean;
  #pending = 0;
  #stalled = false;
  #failed = false;
  /** What the handler is still to be told of the departure of the peer, in this order. */
  #untold: { ended: boolean; error?: Error; freed: boolean } | undefined;

  /** @param path The unix socket that was connected to: the system does not say. */
  constructor(connected: Socket, borrows: boolean, path?: string) {
    this.borrows = borrows;
    const socket = connected as OwnedSocket;
    this.#socket = socket;
    this.peer = peerOf(socket, path);
    // A peer that has gone already has no port, but our end still has.
    this.#isTcp = this.peer.port !== undefined || socket.localPort !== undefined;
    socket[OWNER] = this;
    socket.on('error', onError);
    if (!borrows) socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('finish', onFinish);
    socket.on('close', onClose);
  }

  /** Asked for when it is: unlike the peer's it does not go with the peer, and few want to know. */
  get local(): Address {
    return { address: this.#socket.localAddress, port: this.#socket.localPort };
  }

  /** A unix socket knows no reset. */
  get needsPolling(): boolean {
    return this.#isTcp;
  }

  get descriptor(): number | undefined {
    return this.#socket._handle?.fd;
  }

  get pending(): number {
    // What libuv holds, in bytes, falls while a large write makes progress. When the handle is gone what was known last is
    // what did not leave.
    // A write that failed has left the queue, but not by being sent.
    if (!this.#failed) this.#pending = this.#socket._handle?.writeQueueSize ?? this.#pending;
    return this.#pending;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  get roomStep(): number {
    return this.#isTcp ? TCP_STEP : UNIX_STEP;
  }

  get alive(): boolean | undefined {
    // After a RST the kernel knows the peer no more: ENOTCONN.
    const answer = this.#isTcp ? this.#socket._handle?.getpeername?.({}) : undefined;
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
    const write = writerOf(socket);
    if (write === undefined) return this.#write(data);
    this.#handle ??= handleOf(socket);
    if (this.#handle === undefined) return this.#write(data);
    // A socket that is gone takes nothing, and has said so or is about to.
    if (socket.destroyed) return false;
    const outcome = write(this.#handle, data, this);
    if (outcome === 'now') return true;
    if (typeof outcome === 'number') {
      this.#failed = true;
      process.nextTick(onWriteFailed, this, failure(outcome));
    }
    this.#stalled = true;
    return false;
  }

  /** A write that was not taken at once has been, or has failed. */
  completed(status: number): void {
    if (this.#socket.destroyed) return;
    if (status < 0) this.writeFailed(failure(status));
    else this.#taken();
  }

  /** The socket stays: the kernel may still hold what the peer sent before it closed. */
  writeFailed(error: Error): void {
    this.#failed = true;
    if (!this.#socket.destroyed) this.handler.writeFailed(error);
  }

  peerEnded(): void {
    if (this.#waits) this.#waits.ended = true;
    else this.handler.peerEnded();
  }

  broken(error: Error): void {
    if (this.#waits) this.#waits.error = error;
    else this.handler.failed(error);
  }

  freed(): void {
    if (this.#waits) this.#waits.freed = true;
    else this.handler.freed();
  }

  /** What is told later, where it is. What comes behind waits, too. */
  get #waits() {
    if (this.#untold === undefined && departsLater(this)) this.#untold = { ended: false, freed: false };
    return this.#untold;
  }

  depart(): void {
    const { ended = false, error, freed = false } = this.#untold ?? {};
    this.#untold = undefined;
    if (ended) this.handler.peerEnded();
    if (error) this.handler.failed(error);
    if (freed) this.handler.freed();
  }

  #write(data: Written): boolean {
    const socket = this.#socket;
    (socket as Socket).destroy = destroyUnlessUnread;
    // It is called after this turn, in which more may have been written past Node's queue.
    const taken = () => socket.writableLength === 0 && this.pending === 0 && this.#taken();
    if (isData(data)) {
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
    this.handler.writable();
  }

  end(): void {
    if (!this.#failed) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  reset(): void {
    const socket = this.#socket;
    // A unix socket knows no RST. And libuv refuses to reset while it shuts down: Node would then keep the socket for ever.
    const shutsDown = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
    if (!this.#isTcp || shutsDown) socket.destroy();
    else socket.resetAndDestroy();
  }
}

/** Asked of the handle where that can be: Node would keep an answer of its own on each socket. */
function peerOf(socket: OwnedSocket, path?: string): Address {
  const answer: { address?: string; port?: number } = {};
  if (socket._handle?.getpeername?.(answer) === 0) return { address: answer.address, port: answer.port };
  return { address: socket.remoteAddress ?? path, port: socket.remotePort };
}

/** The error that Node itself would make of the number. */
function failure(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: 'write' });
}

function onWriteFailed(socket: NodeSocket, error: Error): void {
  socket.writeFailed(error);
}

/**
 * In place of `socket.destroy` where Node itself writes: Node destroys a socket whose write failed, with what it has not read.
 * The input is marked as failed, too, and would otherwise never emit its end.
 */
function destroyUnlessUnread(this: Socket, error?: NodeJS.ErrnoException): Socket {
  if (error?.syscall !== 'write') return Socket.prototype.destroy.call(this, error);
  const { _readableState: input } = this as { _readableState?: { errored: Error | null } };
  if (input) input.errored = null;
  (this as OwnedSocket)[OWNER].writeFailed(error);
  return this;
}

function onError(this: Socket, error: Error): void {
  (this as OwnedSocket)[OWNER].broken(error);
}
function onData(this: Socket, chunk: Buffer): void {
  (this as OwnedSocket)[OWNER].handler.received(chunk);
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

/** For the moment between a socket's birth and its handler's; nothing can happen in it, as both are in one call. */
const NOBODY: SocketHandler = {
  received() {},
  peerEnded() {},
  writable() {},
  finished() {},
  writeFailed() {},
  failed() {},
  freed() {},
};
