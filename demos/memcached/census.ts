import type { Address, Connection, ServerEvent } from '../../lib/index.ts';
import type { Traffic } from '../support/index.ts';
import type { Stat } from './cache.ts';

/** The connections of the server, by the names that `stats` has for them: kept by looking at the server's events. */
export class Census {
  readonly #max: number;
  readonly #traffic: Traffic;
  #connections: ReadonlySet<Connection> = new Set();
  #accepting = false;
  #port = 0;
  /** How often accepting came to an end. */
  #stopped = 0;
  #idleKicks = 0;
  /** What `stats reset` takes off. */
  #before = { accepted: 0, refused: 0, idleKicks: 0, read: 0, written: 0 };

  /**
   * @param max How many connections are served at once.
   * @param traffic Sees the same events.
   */
  constructor(max: number, traffic: Traffic) {
    this.#max = max;
    this.#traffic = traffic;
  }

  see(event: ServerEvent): void {
    switch (event.type) {
      case 'listening':
        this.#connections = event.connections;
        this.#accepting = true;
        this.#port = event.address.port ?? 0;
        break;
      case 'draining':
        this.#accepting = false;
        this.#stopped += 1;
        break;
      case 'closed':
        if (event.deadline === 'idle') this.#idleKicks += 1;
        break;
    }
  }

  /** The TCP port that was bound, the first of several; 0 for none. */
  get port(): number {
    return this.#port;
  }

  /** For `stats`. */
  *stats(): Iterable<Stat> {
    const now = this.#now();
    const before = this.#before;
    yield ['max_connections', this.#max];
    yield ['curr_connections', this.#traffic.counters.active];
    yield ['total_connections', now.accepted - before.accepted];
    yield ['rejected_connections', now.refused - before.refused];
    yield ['idle_kicks', now.idleKicks - before.idleKicks];
    yield ['bytes_read', now.read - before.read];
    yield ['bytes_written', now.written - before.written];
    yield ['accepting_conns', this.#accepting ? 1 : 0];
    yield ['listen_disabled_num', this.#stopped];
  }

  /** For `stats conns`. */
  *connections(): Iterable<Stat> {
    for (const { id, peer, local, openedAt, bytesIn, bytesOut } of this.#connections) {
      yield [`${id}:addr`, named(peer)];
      yield [`${id}:listen_addr`, named(local)];
      yield [`${id}:secs_since_open`, Math.floor((Date.now() - openedAt) / 1000)];
      yield [`${id}:bytes_read`, bytesIn];
      yield [`${id}:bytes_written`, bytesOut];
    }
  }

  /** For `stats reset`. */
  reset(): void {
    this.#before = this.#now();
  }

  #now() {
    const { counters, bytesIn, bytesOut } = this.#traffic;
    return { ...counters, idleKicks: this.#idleKicks, read: bytesIn, written: bytesOut };
  }
}

function named({ address = '', port }: Address): string {
  if (port === undefined) return `unix:${address}`;
  return address.includes(':') ? `tcp6:[${address}]:${port}` : `tcp:${address}:${port}`;
}
