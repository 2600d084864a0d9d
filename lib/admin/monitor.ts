import type { Observable } from 'rxjs';
import type { CloseReason, Counters, DrainReport, ListeningEvent, RefusalReason, ServerEvent } from '../events.ts';
import type { ConnectionTable } from '../table.ts';

/** How far the server is: whether it is ready depends on nothing else. */
export type ServerPhase = 'starting' | 'serving' | 'draining' | 'drained' | 'ended';

/** A drain that has begun. */
export interface DrainProgress {
  /** Connections that were active when it began. */
  readonly of: number;
  /** When it began, in milliseconds since 1970. */
  readonly since: number;
  /** Its report, once it is over. */
  readonly report: DrainReport | undefined;
}

const NONE: Counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };

/** What the events of a server say about it. */
export class Monitor {
  phase: ServerPhase = 'starting';
  listening: ListeningEvent | undefined;
  drain: DrainProgress | undefined;
  /** How many connections were closed for each reason. */
  readonly closes = new Map<CloseReason, number>();
  /** Bytes of connections that are closed. */
  readonly #closed = { bytesIn: 0, bytesOut: 0 };
  readonly #now: () => number;

  /** @param now The time, in milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get counters(): Counters {
    return this.listening?.counters ?? NONE;
  }

  get refusals(): ReadonlyMap<RefusalReason, number> {
    return this.listening?.refusals ?? new Map();
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
    let { bytesIn, bytesOut } = this.#closed;
    for (const connection of this.connections ?? []) {
      bytesIn += connection.bytesIn;
      bytesOut += connection.bytesOut;
    }
    return { bytesIn, bytesOut };
  }

  see(event: ServerEvent): void {
    switch (event.type) {
      case 'listening':
        this.listening = event;
        this.phase = 'serving';
        return;
      case 'closed':
        this.closes.set(event.reason, (this.closes.get(event.reason) ?? 0) + 1);
        this.#closed.bytesIn += event.bytesIn;
        this.#closed.bytesOut += event.bytesOut;
        return;
      case 'draining':
        this.phase = 'draining';
        this.drain = { of: event.active, since: this.#now(), report: undefined };
        return;
      case 'drained': {
        const { type: _, ...report } = event;
        const { of, since } = this.drain ?? { of: 0, since: this.#now() };
        this.phase = 'drained';
        this.drain = { of, since, report };
      }
    }
  }

  /** The server has ended, with or without a drain. */
  end(): void {
    if (this.phase !== 'drained') this.phase = 'ended';
  }
}

/** The events of a server, as `serve` has them. */
export type ServerEvents = Observable<ServerEvent>;
