import type { Address, SocketHandler, TransportSocket } from '../../lib/index.ts';

/** Both ends of a simulated connection. */
export const LOOPBACK: Address = { address: '127.0.0.1', port: 1 };

/**
 * The socket of a simulated network: it receives only what a measurement passes to its handler, and it drops what is written.
 * So the time that is measured is the library's own.
 */
export class IdleSocket implements TransportSocket {
  // Set by the library before any other call.
  handler!: SocketHandler;
  readonly local = LOOPBACK;
  readonly peer = LOOPBACK;
  readonly descriptor = undefined;
  readonly borrows = true;
  readonly pending = 0;
  readonly bytesWritten = 0;
  readonly needsPolling = false;
  readonly alive = undefined;
  isPaused = true;

  resume(): void {
    this.isPaused = false;
  }

  pause(): void {
    this.isPaused = true;
  }

  write(): boolean {
    return true;
  }

  end(): void {}

  destroy(): void {
    this.reset();
  }

  reset(): void {
    queueMicrotask(() => this.handler.freed());
  }
}
