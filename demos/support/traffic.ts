import type { ConnectionView, Counters, DrainedEvent, ServerEvent } from '../../lib/index.ts';

const NONE: Counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };

/** What a server has done so far, kept by looking at its events: connections, bytes, requests, and how its drain goes. */
export class Traffic {
  /** Counted by the demo, which knows what a request is. */
  requests = 0;
  /** How many were in the hands of handlers when the drain began, and when that was; `undefined` before it. */
  draining: { readonly of: number; readonly since: number } | undefined;
  /** How the drain went, once it is over. */
  drained: DrainedEvent | undefined;
  #counters = NONE;
  #connections: ReadonlySet<ConnectionView> = new Set();
  /** Bytes of connections that are gone. */
  readonly #gone = { bytesIn: 0, bytesOut: 0 };

  see(event: ServerEvent): void {
    if (event.type === 'listening') {
      this.#counters = event.counters;
      this.#connections = event.connections;
    } else if (event.type === 'closed') {
      this.#gone.bytesIn += event.bytesIn;
      this.#gone.bytesOut += event.bytesOut;
    } else if (event.type === 'draining') {
      this.draining = { of: event.active, since: performance.now() };
    } else if (event.type === 'drained') {
      this.drained = event;
    }
  }

  get counters(): Counters {
    return this.#counters;
  }

  get bytesIn(): number {
    return this.#sum('bytesIn');
  }

  get bytesOut(): number {
    return this.#sum('bytesOut');
  }

  #sum(what: 'bytesIn' | 'bytesOut'): number {
    let sum = this.#gone[what];
    for (const connection of this.#connections) sum += connection[what];
    return sum;
  }
}
