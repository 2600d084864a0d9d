import { AsyncResource } from 'node:async_hooks';
import { Queue } from '../queue.ts';
import type { Address, Port, PortHandler, TransportSocket } from '../transport/transport.ts';
import type { Defer } from './microtaskQueue.ts';

/** The address of a port in memory. */
export const HERE: Address = { address: 'memory', port: 0 };

/** What a {@link MemoryPort} is made with. */
export interface MemoryPortSettings {
  readonly defer: Defer;
  /** Whether the port can pause. */
  readonly canPause: () => boolean;
}

/** A connection that a port has not accepted yet. */
export interface Incoming {
  readonly socket: TransportSocket;
  /** Called just before the socket is accepted. */
  accepted(): void;
  /** Called if the port is closed. */
  refused(): void;
}

/** The port of a {@link MemoryNetwork}. */
export class MemoryPort implements Port {
  isOpen = true;
  readonly #handler: PortHandler;
  readonly #defer: Defer;
  readonly #canPause: () => boolean;
  #isListening = false;
  #isPaused = false;
  /** What arrived during a pause and is not accepted yet, as in the queue of a kernel. It has no limit. */
  readonly #queue = new Queue<Incoming>();
  /** The async context of the call of `listen`, in which a kernel's sockets are accepted, too. */
  readonly #context = new AsyncResource('SluiceMemoryPort');

  constructor(handler: PortHandler, { defer, canPause }: MemoryPortSettings) {
    this.#handler = handler;
    this.#defer = defer;
    this.#canPause = canPause;
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

  /** A connection arrives. It is accepted at once, unless the port is paused or others wait. */
  arrive(incoming: Incoming): void {
    this.listening();
    if (!this.isOpen) incoming.refused();
    else if (this.#isPaused || this.#queue.size > 0) this.#queue.push(incoming);
    else this.#accept(incoming);
  }

  pause(): boolean {
    if (!this.isOpen || !this.#isListening || !this.#canPause()) return false;
    this.#isPaused = true;
    return true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#acceptLater();
  }

  close(): void {
    this.isOpen = false;
    for (let next = this.#queue.first; next !== undefined; next = this.#queue.first) {
      // Before it leaves the queue, because no stack may be left for the call: then the next close continues.
      this.#defer(next.refused);
      this.#queue.shift();
    }
  }

  /** Each connection of the queue is accepted in a task of its own, because the port may be paused after each. */
  #acceptLater(): void {
    if (this.#queue.size > 0) this.#defer(() => this.#acceptNext());
  }

  #acceptNext(): void {
    const next = this.#isPaused ? undefined : this.#queue.shift();
    if (next === undefined) return;
    this.#acceptLater();
    this.#accept(next);
  }

  #accept({ socket, accepted }: Incoming): void {
    accepted();
    this.#context.runInAsyncScope(this.#handler.accepted, this.#handler, socket);
  }
}
