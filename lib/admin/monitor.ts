import type { CloseReason, Counters, DrainReport, ListeningEvent, RefusalReason, ServerEvent } from '../events.ts';
import { ServerRuns } from '../serverRuns.ts';
import type { ConnectionTable } from '../table.ts';

/** How far the server is: whether it is ready depends on nothing else. */
export type ServerPhase = 'starting' | 'serving' | 'draining' | 'drained' | 'closed' | 'ended';

/** A drain that has begun. */
export interface DrainProgress {
  /** Connections that were active when it began. */
  readonly of: number;
  /** When it began, in milliseconds since 1970. */
  readonly since: number;
  /** Its report, once it is over. */
  readonly report: DrainReport | undefined;
}

/** What the events of a server say about it. */
export class Monitor {
  #phase: ServerPhase = 'starting';
  drain: DrainProgress | undefined;
  /** How many connections were closed for each reason. */
  readonly closes = new Map<CloseReason, number>();
  readonly #runs = new ServerRuns();
  readonly #now: () => number;

  /** @param now The time, in milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get listening(): ListeningEvent | undefined {
    return this.#runs.latest;
  }

  get phase(): ServerPhase {
    // It has failed, or was unsubscribed, and may be subscribed to again: its events are not over.
    if (this.#phase === 'serving' && this.listening?.limits.isClosed) return 'closed';
    return this.#phase;
  }

  /** Sums over all servers, if one has begun after another: they never decrease. */
  get counters(): Counters {
    return this.#runs.counters;
  }

  get refusals(): ReadonlyMap<RefusalReason, number> {
    return this.#runs.refusals;
  }

  get connections(): ConnectionTable | undefined {
    return this.listening?.connections;
  }

  /** Whether the server takes new connections, and goes on doing so. */
  get isReady(): boolean {
    return this.phase === 'serving';
  }

  /** Bytes received and sent since the start. Reads the figures of all connections. */
  bytes(): { readonly bytesIn: number; readonly bytesOut: number } {
    const { bytesIn, bytesOut } = this.#runs.totals();
    return { bytesIn, bytesOut };
  }

  see(event: ServerEvent): void {
    switch (event.type) {
      case 'listening':
        this.#runs.begin(event);
        this.#phase = 'serving';
        // It may begin anew: the drain was that of the server before.
        this.drain = undefined;
        return;
      case 'closed':
        this.closes.set(event.reason, (this.closes.get(event.reason) ?? 0) + 1);
        this.#runs.close(event);
        return;
      case 'draining':
        this.#phase = 'draining';
        this.drain = { of: event.active, since: this.#now(), report: undefined };
        return;
      case 'drained': {
        const { type: _, ...report } = event;
        const { of, since } = this.drain ?? { of: 0, since: this.#now() };
        this.#phase = 'drained';
        this.drain = { of, since, report };
      }
    }
  }

  /** The server has ended, with or without a drain. */
  end(): void {
    if (this.#phase !== 'drained') this.#phase = 'ended';
  }
}
