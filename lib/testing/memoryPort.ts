import { AsyncResource } from 'node:async_hooks';
import type { Address, Port, PortHandler, TransportSocket } from '../transport/transport.ts';

/** The address of a port in memory. */
export const HERE: Address = { address: 'memory', port: 0 };

/** The port of a {@link MemoryNetwork}. */
export class MemoryPort implements Port {
  isOpen = true;
  readonly #handler: PortHandler;
  #isListening = false;
  /** The async context of the call of `listen`, in which a kernel's sockets are accepted, too. */
  readonly #context = new AsyncResource('SluiceMemoryPort');

  constructor(handler: PortHandler) {
    this.#handler = handler;
  }

  /**
   * Reports once that the port is open. Called before the first connection is accepted, too: a client may have connected before
   * `listen` was called, and a port of the kernel accepts nothing before it is open.
   */
  listening(): void {
    if (this.#isListening || !this.isOpen) return;
    this.#isListening = true;
    this.#handler.listening(HERE);
  }

  accept(socket: TransportSocket): void {
    this.#context.runInAsyncScope(this.#handler.accepted, this.#handler, socket);
  }

  close(): void {
    this.isOpen = false;
  }
}
