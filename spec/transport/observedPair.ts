import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isData } from '../../lib/options.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { Address, Destination, Transport, TransportSocket } from '../../lib/transport/transport.ts';
import { iteration } from '../support/clock.ts';
import { open } from '../support/sockets.ts';
import { PATIENCE } from '../support/waitable.ts';

export type Data = string | Uint8Array | readonly (string | Uint8Array)[];

export const bytesOf = (data: Data): Buffer =>
  Buffer.concat((isData(data) ? [data] : data).map((piece) => Buffer.from(piece as string)));

/** An action of one end. */
export type Action = { readonly by: 'socket' | 'peer' } & (
  | { readonly does: 'write'; readonly data: Data }
  | { readonly does: 'pause' | 'resume' | 'end' | 'destroy' | 'reset' }
);

const OPTIONS = { backlog: 511, noDelay: true, keepAlive: false as const };

/** Where pairs come from: a port of the transport, to which peers connect, or a server of peers, to which sockets connect. */
export interface Source {
  next(): Promise<Pair>;
  close(): void;
}

/** Sockets that the transport accepts. */
export async function acceptedPairs(transport: Transport, where?: { path: string }): Promise<Source> {
  let take: (socket: TransportSocket) => void = () => undefined;
  const { port, address } = await open((socket) => take(socket), where, transport);
  return {
    close: () => port.close(),
    async next() {
      const accepted = new Promise<Pair>((resolve) => {
        take = (socket) => resolve(new Pair(socket, address.port !== undefined));
      });
      const peer = connect({ ...(where ?? { host: address.address, port: address.port ?? 0 }), allowHalfOpen: true });
      const [pair] = await Promise.all([accepted, once(peer, 'connect')]);
      return pair.with(peer);
    },
  };
}

/** Sockets that the transport connects. */
export async function dialledPairs(transport: Transport, where?: { path: string }): Promise<Source> {
  const server: Server = createServer({ allowHalfOpen: true });
  await once(server.listen(where ?? { port: 0, host: '127.0.0.1' }), 'listening');
  const address = server.address() as { port: number } | string;
  const to: Destination = typeof address === 'string' ? { path: address } : { port: address.port, host: '127.0.0.1' };
  return {
    close: () => void server.close(),
    async next() {
      const dialled = new Promise<Pair>((resolve, failed) => {
        const connected = (socket: TransportSocket) => resolve(new Pair(socket, 'port' in to));
        transport.connect?.(to, OPTIONS, { connected, failed });
      });
      const [pair, [peer]] = await Promise.all([dialled, once(server, 'connection')]);
      return pair.with(peer);
    },
  };
}

/** What both ends have done. */
export type State = Pick<Pair, 'isPaused' | 'hasEnded' | 'closedBy' | 'isPeerPaused' | 'hasPeerEnded' | 'peerClosedBy'>;

/** A socket of a transport, the plain socket of Node at its other end, and what happened to both. */
export class Pair {
  readonly socket: TransportSocket;
  readonly isTcp: boolean;
  peer!: Socket;
  /** What the socket was notified of about its input, but for the bytes. */
  readonly input: string[] = [];
  /** What it was notified of about its output, but for the room. */
  readonly output: string[] = [];
  /** What happened to the peer, but for the bytes. */
  readonly peerEvents: string[] = [];
  /** Laws of the contract that were broken. */
  readonly broken: string[] = [];
  readonly #received: Buffer[] = [];
  readonly #written: Buffer[] = [];
  readonly #peerReceived: Buffer[] = [];
  readonly #peerWritten: Buffer[] = [];
  /** The numbers of bytes in these four. */
  readonly count = { received: 0, written: 0, peerReceived: 0, peerWritten: 0 };
  readonly #local: Address;
  isPaused = true;
  hasEnded = false;
  /** How our side closed the socket. */
  closedBy: 'destroy' | 'reset' | undefined;
  isPeerPaused = false;
  hasPeerEnded = false;
  peerClosedBy: 'destroy' | 'reset' | undefined;
  /** A write has returned `false`, and nothing has followed. */
  isStalled = false;
  /** Which method of the socket is being called. */
  #calling: string | undefined;
  /** A write began while another one was in flight. */
  hasWrittenAhead = false;
  /** Bytes that were written in callbacks in which no write failed. */
  counted = 0;

  constructor(socket: TransportSocket, isTcp: boolean) {
    this.socket = socket;
    this.isTcp = isTcp;
    this.#local = socket.local;
    socket.handler = {
      ...NO_HANDLER,
      received: (chunk) => {
        this.#expect('received', chunk.length > 0 && !this.isPaused && this.input.length === 0);
        this.#received.push(Buffer.from(chunk));
        this.count.received += chunk.length;
      },
      peerEnded: () => this.#note('peerEnded', this.input, this.input.length === 0),
      failed: (error) => this.#note(`failed ${codeOf(error)}`, this.input, this.input.length === 0),
      writable: () => {
        this.#expect('writable', this.isStalled && this.output.length === 0 && socket.pending === 0);
        this.isStalled = false;
      },
      finished: () => this.#note('finished', this.output, this.hasEnded && !this.isStalled && this.output.length === 0),
      writeFailed: (error) => this.#note(`writeFailed ${codeOf(error)}`, this.output, !this.hasWriteFailed),
      freed: () => this.#note('freed', this.input, true),
    };
  }

  with(peer: Socket): this {
    this.peer = peer;
    const { address, port } = this.socket.peer;
    if (this.isTcp && (address !== '127.0.0.1' || port !== peer.localPort)) this.broken.push('the address of the peer');
    if (this.isTcp && this.#local.port !== peer.remotePort) this.broken.push('the local address');
    peer.on('data', (chunk) => {
      this.#peerReceived.push(chunk);
      this.count.peerReceived += chunk.length;
    });
    peer.on('end', () => this.peerEvents.push('end'));
    peer.on('error', (error) => this.peerEvents.push(codeOf(error)));
    peer.on('close', () => this.peerEvents.push('close'));
    return this;
  }

  get state(): State {
    const { isPaused, hasEnded, closedBy, isPeerPaused, hasPeerEnded, peerClosedBy } = this;
    return { isPaused, hasEnded, closedBy, isPeerPaused, hasPeerEnded, peerClosedBy };
  }

  get isFreed(): boolean {
    return this.input.at(-1) === 'freed';
  }

  /** Whether nothing more can be sent, and the handler is to close the socket. */
  get hasWriteFailed(): boolean {
    return this.output.some((what) => what.startsWith('write'));
  }

  /** Whether the end of the input was notified. */
  get isInputOver(): boolean {
    return this.input.length > 0;
  }

  get received(): Buffer {
    return Buffer.concat(this.#received);
  }
  get written(): Buffer {
    return Buffer.concat(this.#written);
  }
  get peerReceived(): Buffer {
    return Buffer.concat(this.#peerReceived);
  }
  get peerWritten(): Buffer {
    return Buffer.concat(this.#peerWritten);
  }

  #expect(what: string, holds: boolean): void {
    const state = JSON.stringify({ ...this, socket: undefined, peer: undefined, broken: undefined });
    if (this.#calling !== undefined) this.broken.push(`${what} within ${this.#calling}`);
    if (this.isFreed) this.broken.push(`${what} after freed`);
    else if (this.closedBy !== undefined && what !== 'freed') this.broken.push(`${what} after ${this.closedBy}`);
    if (this.input.some((event) => event.startsWith('failed')) && what !== 'freed')
      this.broken.push(`${what} after failed`);
    if (!holds) this.broken.push(`${what} although ${state}`);
  }

  #note(what: string, into: string[], holds: boolean): void {
    this.#expect(what, holds);
    into.push(what);
    if (what === 'freed' || what.startsWith('failed') || what.startsWith('write')) this.isStalled = false;
  }

  /** Does one action, unless the contract forbids it. */
  do(action: Action): void {
    if (action.by === 'peer') return this.#peerDoes(action);
    const { socket } = this;
    const isOver = this.isFreed || this.closedBy !== undefined;
    this.#calling = action.does;
    switch (action.does) {
      case 'write': {
        if (this.hasEnded || this.hasWriteFailed) break;
        const wasTaken = socket.write(action.data);
        // A closed socket takes nothing.
        if (isOver || this.input.some((what) => what.startsWith('failed'))) break;
        const bytes = bytesOf(action.data);
        this.#written.push(bytes);
        this.count.written += bytes.length;
        if (this.isStalled) this.hasWrittenAhead = true;
        if (!wasTaken) this.isStalled = true;
        break;
      }
      case 'pause':
        this.isPaused = true;
        socket.pause();
        break;
      case 'resume':
        this.isPaused = false;
        socket.resume();
        break;
      case 'end':
        this.hasEnded = true;
        socket.end();
        break;
      default:
        this.closedBy ??= action.does;
        this.isStalled = false;
        socket[action.does]();
    }
    this.#calling = undefined;
  }

  #peerDoes(action: Action): void {
    const { peer } = this;
    if (this.peerClosedBy !== undefined) return;
    switch (action.does) {
      case 'write': {
        if (this.hasPeerEnded || peer.destroyed) return;
        const bytes = bytesOf(action.data);
        this.#peerWritten.push(bytes);
        this.count.peerWritten += bytes.length;
        peer.write(bytes);
        return;
      }
      case 'pause':
        this.isPeerPaused = true;
        peer.pause();
        return;
      case 'resume':
        this.isPeerPaused = false;
        peer.resume();
        return;
      case 'end':
        this.hasPeerEnded = true;
        peer.end();
        return;
      default:
        if (!peer.destroyed)
          this.peerClosedBy = action.does === 'reset' && isShuttingDown(peer) ? 'destroy' : action.does;
        // Node never closes a socket that is reset while its FIN is being sent.
        if (action.does === 'reset' && this.isTcp && !isShuttingDown(peer)) peer.resetAndDestroy();
        else peer.destroy();
    }
  }

  /** Waits until the network has done all that it must do. */
  async settle(): Promise<void> {
    const until = performance.now() + PATIENCE;
    for (let unmet = this.#unmet(); unmet.length > 0; unmet = this.#unmet()) {
      if (performance.now() > until) throw new Error(`${this.broken.join()}; never came: ${unmet.join(', ')}; ${this}`);
      await iteration();
    }
    // What must not come would come in these.
    await iteration();
    await iteration();
  }

  /** What must still happen. */
  #unmet(): string[] {
    const { socket, peer, count, isPaused, isPeerPaused, peerEvents, isInputOver, isFreed } = this;
    const isClosed = this.closedBy !== undefined || isFreed;
    const isPeerGone = peer.destroyed;
    const must: Record<string, boolean> = {
      freed: this.closedBy !== undefined || this.input.some((what) => what.startsWith('failed')),
      'freed after both FINs': this.output.includes('finished') && this.input.includes('peerEnded'),
      close: isPeerGone,
    };
    const has: Record<string, boolean> = {
      close: peerEvents.includes('close'),
      freed: isFreed,
      'freed after both FINs': isFreed,
    };
    if (!isClosed && !isPaused && !isPeerGone) {
      has['the bytes of the peer'] = count.received === count.peerWritten;
      has['the FIN of the peer'] = !this.hasPeerEnded || isInputOver;
    }
    if (!isClosed && !isPaused && isPeerGone) has['the end of the input'] = isInputOver;
    if (!isClosed && !isPeerGone && !isPeerPaused && !this.hasWriteFailed) {
      has['the bytes for the peer'] = count.peerReceived === count.written;
      has.room = !this.isStalled && socket.pending === 0;
      has['our FIN'] = !this.hasEnded || (peerEvents.includes('end') && this.output.includes('finished'));
    }
    if (!isClosed && isPeerGone) {
      has['the outcome of the write'] = !this.isStalled;
      if (this.isTcp && this.peerClosedBy === 'reset') has['the RST'] = socket.alive !== true;
    }
    if (isClosed && !isPeerGone && !isPeerPaused) has['the end of the socket'] = peerEvents.length > 0;
    return [...new Set([...Object.keys(must), ...Object.keys(has)])].filter(
      (what) => (must[what] ?? true) && !has[what],
    );
  }

  toString(): string {
    const { socket, peer, broken, ...state } = this;
    const { pending, bytesWritten, alive } = socket;
    return JSON.stringify({ ...state, pending, bytesWritten, alive, isPeerDestroyed: peer.destroyed });
  }
}

const isShuttingDown = ({ writableEnded, writableLength, writableFinished }: Socket) =>
  writableEnded && writableLength === 0 && !writableFinished;

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? error.message;
