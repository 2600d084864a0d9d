import type {
  ConnectionView,
  Counters,
  DrainedEvent,
  Limits,
  ListeningEvent,
  LiveSet,
  ServerEvent,
} from '../../lib/index.ts';

const NONE: Counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };

/** The totals of a server, collected from its events: connections, bytes, requests, and the progress of its drain. */
export class Traffic {
  /** Counted by the demo, because its protocol defines what a request is. */
  requests = 0;
  /** How many connections were active when the drain began, and when that was; `undefined` before the drain. */
  draining: { readonly of: number; readonly since: number } | undefined;
  /** The outcome of the drain; `undefined` until it is over. */
  drained: DrainedEvent | undefined;
  #counters = NONE;
  #connections: LiveSet<ConnectionView> = new Set();
  /** How many connections were refused for each reason. Live. */
  refusals: ListeningEvent['refusals'] = new Map();
  /** The limits of the server; `undefined` before it listens. */
  limits: Limits | undefined;
  /** Bytes of connections that are closed. */
  readonly #closed = { bytesIn: 0, bytesOut: 0 };

  see(event: ServerEvent): void {
    if (event.type === 'listening') {
      this.#counters = event.counters;
      this.#connections = event.connections;
      this.refusals = event.refusals;
      this.limits = event.limits;
    } else if (event.type === 'closed') {
      this.#closed.bytesIn += event.bytesIn;
      this.#closed.bytesOut += event.bytesOut;
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
    let sum = this.#closed[what];
    for (const connection of this.#connections) sum += connection[what];
    return sum;
  }
}
