import type { Socket } from 'node:net';
import { plainAddress } from '../address.ts';
import { joinIfTooMany } from './gather.ts';
import type { Written } from './handle.ts';
import { descriptorOf, isConnected, queuedOf } from './nodeInternals.ts';
import { NodeSocket } from './nodeSocket.ts';
import { disown, own, type SocketOwner, writeTo } from './ownedSocket.ts';
import type { Address, TransportSocket } from './transport.ts';

/** A `net.Socket`, as a transport offers it. */
export class NetSocket extends NodeSocket implements TransportSocket, SocketOwner {
  readonly #socket: Socket;
  readonly #isTcp: boolean;

  /** @param path The path of the unix socket that was connected to, which the system does not report. */
  constructor(socket: Socket, path?: string) {
    super({ address: plainAddress(socket.remoteAddress) ?? path, port: socket.remotePort });
    this.#socket = socket;
    // The port of a peer that has already closed the connection is unknown, but the local one is still known.
    this.#isTcp = this.peer.port !== undefined || socket.localPort !== undefined;
    own(socket, this);
  }

  get borrows(): boolean {
    return false;
  }

  protected get isTcp(): boolean {
    return this.#isTcp;
  }

  protected get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  get local(): Address {
    return { address: plainAddress(this.#socket.localAddress), port: this.#socket.localPort };
  }

  get descriptor(): number | undefined {
    return descriptorOf(this.#socket);
  }

  protected get queued(): number | undefined {
    return queuedOf(this.#socket);
  }

  protected get written(): number {
    return this.#socket.bytesWritten;
  }

  protected get isPeerKnown(): boolean | undefined {
    return this.#isTcp ? isConnected(this.#socket) : undefined;
  }

  protected get isFinSent(): boolean {
    return this.#socket.writableEnded && this.#socket.writableLength === 0;
  }

  resume(): void {
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  write(data: Written): boolean {
    const socket = this.#socket;
    // A closed socket takes nothing, and neither does one whose write has failed. The handler is notified of that elsewhere.
    if (socket.destroyed || this.hasFailed) return false;
    const { bytesWritten } = socket;
    // Node calls back in a later iteration. More may have been written by then.
    const taken = () => socket.writableLength === 0 && this.pending === 0 && this.#notifyWritable();
    const hasFailed = writeTo(socket, joinIfTooMany(data), taken);
    if (hasFailed) this.failedAtOnce(bytesWritten);
    else this.isStalled = socket.writableLength > 0;
    return !this.isStalled;
  }

  #notifyWritable(): void {
    // Node calls back for each write of a closed socket, too.
    if (!this.isStalled || this.hasFailed || this.isClosed) return;
    this.isStalled = false;
    this.handler.writable();
  }

  end(): void {
    if (!this.hasFailed) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  reset(): void {
    const socket = this.#socket;
    // libuv refuses to reset a socket that is shutting down, and Node would then never free the socket.
    const isShuttingDown = this.isFinSent && !socket.writableFinished;
    if (!this.#isTcp || isShuttingDown) socket.destroy();
    else socket.resetAndDestroy();
  }

  detach(): Socket {
    disown(this.#socket);
    return this.#socket;
  }
}
