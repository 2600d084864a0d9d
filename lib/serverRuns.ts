import type { ClosedEvent, Counters, ListeningEvent, Paused, RefusalReason } from './events.ts';

/** Sums over all connections that a server has had. None of them ever decreases. */
export interface Totals {
  /** Bytes received. */
  readonly bytesIn: number;
  /** Bytes sent. */
  readonly bytesOut: number;
  /** Values that were dropped because the peer read too slowly. */
  readonly dropped: number;
  /** Milliseconds for which inputs were paused. */
  readonly paused: Paused;
}

type Sums = { bytesIn: number; bytesOut: number; dropped: number; peer: number; handler: number; budget: number };

const zero = (): Sums => ({ bytesIn: 0, bytesOut: 0, dropped: 0, peer: 0, handler: 0, budget: 0 });

/** Reasons that are counted apart, as those of one server are. */
const REASONS = 100;

/**
 * What all servers of one stream of events have counted: there are several if the stream is retried or repeated, or if one Subject
 * receives the events of several ports. Each begins with `listening`, and counts from 0; the sums go on.
 */
export class ServerRuns {
  /** The server that began last: its limits, resources and connections are those that hold. */
  latest: ListeningEvent | undefined;
  /** Those whose counters may still change. */
  #running: ListeningEvent[] = [];
  /** What the others have counted. No connection of theirs waits or is active. */
  readonly #over = { accepted: 0, closed: 0, refused: 0, refusals: new Map<RefusalReason, number>() };
  /** Of connections whose `closed` was received. */
  readonly #closed = zero();
  #reached = zero();

  begin(event: ListeningEvent): void {
    this.#keepReached();
    this.#running = this.#running.filter((one) => !isOver(one) || this.#add(one));
    this.#running.push(event);
    this.latest = event;
  }

  close({ bytesIn, bytesOut, dropped, paused }: ClosedEvent): void {
    addTo(this.#closed, bytesIn, bytesOut, dropped, paused);
  }

  get counters(): Counters {
    const { accepted, closed, refused } = this.#over;
    const sum = { accepted, waiting: 0, active: 0, closed, refused };
    for (const { counters } of this.#running) {
      for (const name in sum) sum[name as keyof Counters] += counters[name as keyof Counters];
    }
    return sum;
  }

  get refusals(): ReadonlyMap<RefusalReason, number> {
    const { refusals } = this.#over;
    const [first, second] = this.#running;
    if (refusals.size === 0 && second === undefined) return first?.refusals ?? refusals;
    const sum = new Map(refusals);
    for (const one of this.#running) addReasons(sum, one.refusals);
    return sum;
  }

  /** Sums up to now. The only part whose time grows with the number of connections: read it once for all figures. */
  totals(): Totals {
    const now = this.#sum();
    const before = this.#reached;
    // Between its removal from the table and its event a connection is in neither. It was in the sums before.
    for (const name in now) now[name as keyof Sums] = Math.max(now[name as keyof Sums], before[name as keyof Sums]);
    this.#reached = now;
    const { bytesIn, bytesOut, dropped, ...paused } = now;
    return { bytesIn, bytesOut, dropped, paused };
  }

  #sum(): Sums {
    const sum = { ...this.#closed };
    for (const { connections } of this.#running) {
      // An event that a user has made may lack what those of the library have.
      for (const { bytesIn, bytesOut, dropped, paused } of connections ?? [])
        addTo(sum, bytesIn, bytesOut, dropped, paused);
    }
    return sum;
  }

  /** Connections of a server that failed have no `closed`. What was seen of them stays in the sums. */
  #keepReached(): void {
    let now: Sums;
    try {
      now = this.#sum();
    } catch {
      // A socket of the user's transport threw.
      return;
    }
    for (const name in now) {
      const missing = this.#reached[name as keyof Sums] - now[name as keyof Sums];
      this.#closed[name as keyof Sums] += Math.max(0, missing);
    }
  }

  /** @returns That its counters need not be read any more. */
  #add({ counters, refusals }: ListeningEvent): false {
    this.#over.accepted += counters.accepted;
    this.#over.closed += counters.closed;
    this.#over.refused += counters.refused;
    addReasons(this.#over.refusals, refusals);
    return false;
  }
}

const isOver = ({ limits, counters }: ListeningEvent) =>
  limits?.isClosed && counters.waiting === 0 && counters.active === 0;

function addTo(sums: Sums, bytesIn: number, bytesOut: number, dropped: number, paused: Paused): void {
  sums.bytesIn += bytesIn;
  sums.bytesOut += bytesOut;
  sums.dropped += dropped;
  sums.peer += paused.peer;
  sums.handler += paused.handler;
  sums.budget += paused.budget;
}

function addReasons(to: Map<RefusalReason, number>, from: ReadonlyMap<RefusalReason, number>): void {
  for (const [reason, count] of from) {
    const counted = to.has(reason) || to.size < REASONS ? reason : 'other';
    to.set(counted, (to.get(counted) ?? 0) + count);
  }
}
