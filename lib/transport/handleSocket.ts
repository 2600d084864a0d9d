import type { Socket } from 'node:net';
import { plainAddress } from '../address.ts';
import { isData } from '../options.ts';
import { gather, giveAway, joinIfTooMany } from './gather.ts';
import type { Handle, HandleOwner, Handles, Written } from './handle.ts';
import { asSocket } from './nodeInternals.ts';
import { OnHandle } from './onHandle.ts';
import { prefixes } from './sharedBuffer.ts';
import { systemError } from './systemError.ts';
import type { Address, TransportSocket } from './transport.ts';

/** What has become of our FIN. */
const Fin = { open: 0, wanted: 1, leaving: 2, sent: 3 } as const;

/** A socket on a handle of libuv, without a `net.Socket`. All such sockets read into one shared buffer. */
export class HandleSocket extends OnHandle implements TransportSocket, HandleOwner {
  bytesRead = 0;
  readonly #handles: Handles;
  #handle: Handle | undefined;
  readonly #isTcp: boolean;
  #isReading = false;
  #hasPeerEnded = false;
  #fin: number = Fin.open;

  /** @param path The path of the unix socket that was connected to, which the system does not report. */
  constructor(handles: Handles, handle: Handle, path?: string) {
    super(peerOf(handle, path));
    this.#handles = handles;
    this.#handle = handle;
    this.#isTcp = handle.getpeername !== undefined;
    handles.own(handle, this);
  }

  get copies(): boolean {
    return true;
  }

  protected get isTcp(): boolean {
    return this.#isTcp;
  }

  protected get raw(): Handle | undefined {
    return this.#handle;
  }

  protected get queued(): number | undefined {
    return this.#handle?.writeQueueSize;
  }

  protected get written(): number {
    return this.#handle?.bytesWritten ?? 0;
  }

  protected get isFinSent(): boolean {
    return this.#fin >= Fin.leaving;
  }

  resume(): void {
    if (this.#isReading || this.#hasPeerEnded || this.#handle === undefined) return;
    this.#isReading = true;
    this.#check(this.#handle.readStart());
  }

  pause(): void {
    if (!this.#isReading || this.#handle === undefined) return;
    this.#isReading = false;
    this.#check(this.#handle.readStop());
  }

  /** Reading could not be started or stopped. */
  #check(status: number): void {
    if (status < 0) process.nextTick(failRead, this, systemError('read', status));
  }

  write(data: Written): boolean {
    // A closed socket takes nothing, and neither does one whose write has failed. The handler is notified of that elsewhere.
    if (this.#handle === undefined || this.hasFailed) return false;
    const gathered = isData(data) ? undefined : gather(data);
    const piece = gathered ?? joinIfTooMany(data);
    const { bytesWritten } = this.#handle;
    const outcome = this.#handles.write(this.#handle, piece, this);
    if (outcome === 'now') return true;
    if (outcome === 'later' && gathered) giveAway();
    if (typeof outcome === 'number') {
      this.failedAtOnce(bytesWritten);
      process.nextTick(complete, this, outcome);
    }
    this.isStalled = true;
    return false;
  }

  /** A handle that is to be shut down cannot be reset. So the FIN waits here for the write in flight, and not there. */
  end(): void {
    if (this.hasFailed || this.#fin !== Fin.open) return;
    this.#fin = Fin.wanted;
    if (!this.isStalled) this.#shutdown();
  }

  #shutdown(): void {
    if (this.#handle === undefined) return;
    this.#fin = Fin.leaving;
    // After the peer's FIN nothing can follow ours, which the close sends as well.
    if (this.#hasPeerEnded || !this.#handles.shutdown(this.#handle, this)) process.nextTick(finish, this);
  }

  destroy(): void {
    this.#close(this.#handles.close);
  }

  /** A unix socket has no RST. libuv refuses to reset a socket whose FIN is being sent, and Node would then never free it. */
  reset(): void {
    this.#close(this.#isTcp && this.#fin !== Fin.leaving ? this.#handles.reset : this.#handles.close);
  }

  /** Keeps the figures of the handle, which loses them, and closes it. */
  #close(close: (handle: Handle) => void): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.keepFigures();
    // Before the handle is forgotten, because no stack may be left for the call: then the next one closes it.
    close(handle);
    this.#handle = undefined;
  }

  detach(): Socket {
    this.pause();
    return asSocket(this.release());
  }

  /** Whether the handle reads. After a FIN it does not. */
  get isReading(): boolean {
    return this.#isReading && !this.#hasPeerEnded;
  }

  /** Gives the handle away as it is. From then on this socket does nothing. */
  release(): Handle {
    const handle = this.#handle;
    if (handle === undefined) throw new Error('Cannot detach the socket: it is closed');
    this.keepFigures();
    this.#handle = undefined;
    return handle;
  }

  // What the handle reports (HandleOwner) -----------------------------------------------------------------------------

  bytesReceived(length: number): void {
    if (this.#handle !== undefined) this.handler.received(prefixes.of(length));
  }

  readEnded(): void {
    if (this.#handle === undefined) return;
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

  writeCompleted(status: number): void {
    if (this.#handle === undefined) return;
    if (status < 0) return this.writeFailed(systemError('write', status));
    // Another write is in flight, or one that completed with this one has notified the handler.
    if (!this.isStalled || this.#handle.writeQueueSize > 0) return;
    this.isStalled = false;
    if (this.#fin === Fin.wanted) this.#shutdown();
    this.handler.writable();
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
    this.freed();
  }
}

/** Node sets the members of an answer one by one, which is faster if they are there already. */
const answer: Address & { family: string | undefined } = { address: undefined, family: undefined, port: undefined };

/** Its port is unknown if the peer has reset the connection already. */
function peerOf(handle: Handle, path?: string): Address {
  const isKnown = handle.getpeername?.(answer) === 0;
  return isKnown ? { address: plainAddress(answer.address), port: answer.port } : { address: path, port: undefined };
}

// For `process.nextTick`, because a handler is not notified within the call that it makes.

function failRead(socket: HandleSocket, error: Error): void {
  socket.readFailed(error);
}

function complete(socket: HandleSocket, status: number): void {
  socket.writeCompleted(status);
}

function finish(socket: HandleSocket): void {
  socket.shutDown();
}
