import { connect, type Socket } from 'node:net';
import type { Tally } from './tally.ts';
import { Window } from './window.ts';

/** The server to load, and the requests to send. */
export interface Target {
  host: string;
  port: number;
  /** Requests to keep in flight on each connection. */
  inFlight: number;
  /** Length of a request, in bytes, with its newline. */
  size: number;
}

/** Deadline for opening a connection, in milliseconds. */
const CONNECT_TIMEOUT = 5_000;

/** The read buffer of all connections. One is enough, because each read is checked before the next read begins. */
const READS = Buffer.allocUnsafeSlow(64 * 1024);

/** One connection that is kept full of requests. Each chunk of replies that is read is followed by one write of requests. */
export class Conversation {
  /** Resolved when the connection is open; rejected if it cannot be opened. */
  readonly opened: Promise<void>;
  /** Resolved when the connection is closed and its requests are counted. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #window: Window;
  readonly #tally: Tally;
  #open = false;
  #sending = false;
  #ending: keyof Tally['endings'] | undefined;

  constructor(id: number, target: Target, tally: Tally) {
    this.#tally = tally;
    this.#window = new Window(id, target.inFlight, target.size, tally);
    this.#socket = connect({
      host: target.host,
      port: target.port,
      noDelay: true,
      // We answer the server's FIN ourselves, because its meaning depends on the requests that are outstanding.
      allowHalfOpen: true,
      onread: { buffer: READS, callback: (length) => this.#received(length) },
    });
    this.opened = new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#socket.destroy(new ConnectTimeoutError()), CONNECT_TIMEOUT);
      this.#socket.once('connect', () => {
        clearTimeout(late);
        this.#open = true;
        resolve();
      });
      this.#socket.on('error', (error) => {
        clearTimeout(late);
        // For the requests of an open connection any error is a reset.
        this.#ending = 'reset';
        reject(error);
      });
    });
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', () => {
        if (this.#open && this.#ending !== undefined) this.#count(this.#ending);
        resolve();
      });
    });
    this.#socket.once('end', () => {
      this.#sending = false;
      this.#ending ??= 'fin';
      this.#socket.end();
    });
  }

  /** Whether the connection is open, and neither side has ended it. */
  get live(): boolean {
    return this.#open && this.#ending === undefined;
  }

  /** Starts to send. */
  start(): void {
    if (!this.live) return;
    this.#sending = true;
    this.#send(performance.now());
  }

  /** Stops sending, and ends the connection when the last reply has arrived. */
  stop(): void {
    this.#sending = false;
    this.#endIfDone();
  }

  /** Closes the connection at once. Outstanding requests count as lost. */
  abandon(): void {
    if (this.#socket.destroyed) return;
    if (this.#ending === undefined || this.#ending === 'client') this.#ending = 'open';
    this.#socket.destroy();
  }

  #received(length: number): boolean {
    const now = performance.now();
    this.#window.receive(READS.subarray(0, length), now);
    if (this.#sending) this.#send(now);
    else this.#endIfDone();
    return true;
  }

  #send(now: number): void {
    const pieces = this.#window.refill(now);
    if (pieces.length === 0) return;
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
  }

  #endIfDone(): void {
    if (!this.live || this.#window.outstanding > 0) return;
    this.#ending = 'client';
    this.#socket.end();
  }

  #count(ending: keyof Tally['endings']): void {
    this.#tally.endings[ending]++;
    const outstanding = this.#window.abandon();
    if (ending === 'fin' || ending === 'reset') this.#tally.unanswered[ending] += outstanding;
    else this.#tally.lost += outstanding;
  }
}

class ConnectTimeoutError extends Error {
  override readonly name = 'ConnectTimeoutError';
  readonly code = 'ETIMEDOUT';
  constructor() {
    super(`Cannot connect: no answer within ${CONNECT_TIMEOUT} ms`);
  }
}
