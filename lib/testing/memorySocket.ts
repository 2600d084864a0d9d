import { AsyncResource } from 'node:async_hooks';
import { isData } from '../options.ts';
import type { Address, SocketHandler, TransportSocket } from '../transport/transport.ts';
import type { FarEnd, NearEnd } from './link.ts';
import { HERE } from './memoryPort.ts';
import type { Defer } from './microtaskQueue.ts';

/** What a {@link MemorySocket} is made with. */
export interface MemorySocketSettings {
  readonly local?: Address;
  readonly peer: Address;
  readonly defer: Defer;
  /** Called with the socket when it is free. */
  readonly freed: (socket: object) => void;
  /** Called when the socket sends bytes or a FIN. */
  readonly sends?: (() => void) | undefined;
}

/** A socket in memory: the server's, or that of a client that connects by the transport. It behaves as one of a kernel does. */
export class MemorySocket implements TransportSocket, NearEnd {
  #handler!: SocketHandler;
  /** The async context in which the handler was set. Bytes are delivered in it, whichever context the network runs in. */
  #context!: AsyncResource;
  readonly local: Address;
  readonly peer: Address;
  readonly descriptor = undefined;
  readonly needsPolling = false;
  readonly alive = undefined;
  readonly borrows = true;
  readonly #far: FarEnd;
  readonly #defer: Defer;
  readonly #freed: (socket: object) => void;
  readonly #sends: (() => void) | undefined;
  /** Received, and not delivered to the handler. */
  readonly #arrived: Uint8Array[] = [];
  /** Written, and not taken by the far end. */
  readonly #queue: Uint8Array[] = [];
  /** Bytes that the far end has taken. */
  #sent = 0;
  #isFlowing = false;
  #isDelivering = false;
  #peerFin: 'none' | 'arrived' | 'delivered' = 'none';
  /** A RST has arrived that the handler has not been notified of. */
  #hasUnseenRst = false;
  #isEnding = false;
  #isFinished = false;
  #isClosed = false;

  constructor(far: FarEnd, { local = HERE, peer, defer, freed, sends }: MemorySocketSettings) {
    this.#far = far;
    this.local = local;
    this.peer = peer;
    this.#defer = defer;
    this.#freed = freed;
    this.#sends = sends;
  }

  get handler(): SocketHandler {
    return this.#handler;
  }

  set handler(handler: SocketHandler) {
    this.#handler = handler;
    this.#context = new AsyncResource('SluiceMemorySocket');
  }

  get pending(): number {
    return this.#queue.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get bytesWritten(): number {
    return this.#sent + this.pending;
  }

  get roomStep(): number {
    return this.#far.step ?? 0;
  }

  resume(): void {
    if (this.#isFlowing) return;
    this.#isFlowing = true;
    this.#defer(() => this.#deliver());
  }

  pause(): void {
    this.#isFlowing = false;
  }

  write(data: string | Uint8Array | readonly (string | Uint8Array)[]): boolean {
    if (this.#hasUnseenRst) {
      this.#failWrite('EPIPE');
      return false;
    }
    this.#sends?.();
    const pieces = isData(data) ? [data] : data;
    const chunk = Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
    const taken = this.#queue.length > 0 ? 0 : this.#far.take(chunk);
    this.#sent += taken;
    if (taken < chunk.length) this.#queue.push(chunk.subarray(taken));
    return this.#queue.length === 0;
  }

  end(): void {
    if (this.#isEnding || this.#hasUnseenRst) return;
    this.#isEnding = true;
    this.#sends?.();
    this.#defer(() => this.#finish());
  }

  destroy(): void {
    if (this.#isClosed) return;
    // A kernel sends a RST if bytes were received and never read.
    if (this.#arrived.length > 0) return this.reset();
    if (!this.#isFinished) this.#defer(() => this.#far.fin());
    this.#close();
  }

  reset(): void {
    if (this.#isClosed) return;
    this.#defer(() => this.#far.rst());
    this.#close();
  }

  arrive(chunk: Uint8Array): void {
    if (this.#peerFin !== 'none') return;
    if (this.#isClosed) return this.#far.rst();
    this.#arrived.push(chunk);
    this.#deliver();
  }

  arriveFin(): void {
    if (this.#isClosed || this.#peerFin !== 'none') return;
    this.#peerFin = 'arrived';
    this.#deliver();
  }

  arriveRst(): void {
    if (this.#isClosed) return;
    if (this.#isFlowing) return this.#failRead();
    // A socket that is not being read does not notice a RST, unless it writes.
    this.#hasUnseenRst = true;
    if (this.#queue.length > 0) this.#failWrite('ECONNRESET');
  }

  pump(): void {
    if (this.#isClosed || this.#hasUnseenRst) return;
    const wasFull = this.#queue.length > 0;
    while (this.#queue.length > 0) {
      const chunk = this.#queue[0] as Uint8Array;
      const taken = this.#far.take(chunk);
      this.#sent += taken;
      if (taken < chunk.length) {
        this.#queue[0] = chunk.subarray(taken);
        return;
      }
      this.#queue.shift();
    }
    if (wasFull) this.handler.writable();
    this.#finish();
  }

  #deliver(): void {
    if (this.#isDelivering || this.#isClosed) return;
    this.#isDelivering = true;
    try {
      while (this.#isFlowing && !this.#isClosed) {
        const chunk = this.#arrived.shift();
        if (chunk === undefined) break;
        const { length } = chunk;
        this.#context.runInAsyncScope(this.#handler.received, this.#handler, chunk);
        // The next read overwrites the buffer of a real socket. So a view of it that was kept must show here, too.
        chunk.fill(0xaa);
        this.#far.acknowledge?.(length);
      }
    } finally {
      this.#isDelivering = false;
    }
    if (this.#isClosed || !this.#isFlowing) return;
    if (this.#hasUnseenRst) {
      this.#failRead();
    } else if (this.#arrived.length === 0 && this.#peerFin === 'arrived') {
      this.#peerFin = 'delivered';
      this.handler.peerEnded();
      this.#closeIfBothEnded();
    }
  }

  #failWrite(code: string): void {
    this.#defer(() => {
      if (!this.#isClosed) this.handler.writeFailed(Object.assign(new Error(`write ${code}`), { code }));
    });
  }

  #failRead(): void {
    this.handler.failed(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
    this.#close();
  }

  /** Sends the FIN once nothing is queued in front of it. */
  #finish(): void {
    if (!this.#isEnding || this.#isFinished || this.#isClosed || this.#queue.length > 0) return;
    this.#isFinished = true;
    this.#far.fin();
    this.handler.finished();
    this.#closeIfBothEnded();
  }

  #closeIfBothEnded(): void {
    if (this.#isFinished && this.#peerFin === 'delivered') this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    // Before it counts as closed, because no stack may be left for the call: then it is closed by the next one.
    this.#defer(() => {
      this.#freed(this);
      this.handler.freed();
    });
    this.#isClosed = true;
  }
}
