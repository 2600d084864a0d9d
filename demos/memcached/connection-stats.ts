import type { Address, ConnectionView, LiveSet, ServerEvent } from '../../lib/index.ts';
import type { Traffic } from '../support/index.ts';
import type { Stat } from './cache.ts';

/** What one connection is doing. */
export interface Activity {
  /** When its last request came, in milliseconds since 1970; before the first, when it was opened. */
  lastRequestAt: number;
  /** Whether one of its requests is being answered. */
  busy: boolean;
}

/** Figures of the server's connections, by the names that `stats` has for them. They are updated by the server's events. */
export class ConnectionStats {
  readonly #max: number;
  readonly #traffic: Traffic;
  #connections: LiveSet<ConnectionView> = new Set();
  #accepting = false;
  /** The addresses that the server listens on, in the order of the command line. */
  readonly #ports: Address[] = [];
  readonly #activities = new WeakMap<ConnectionView, Activity>();
  readonly #since = Date.now();
  /** How often the server has stopped accepting. */
  #stopped = 0;
  #idleKicks = 0;
  /** The figures at the last `stats reset`, which are subtracted. */
  #before = { accepted: 0, refused: 0, idleKicks: 0, read: 0, written: 0 };

  /**
   * @param max How many connections are served at once.
   * @param traffic Receives the same events.
   */
  constructor(max: number, traffic: Traffic) {
    this.#max = max;
    this.#traffic = traffic;
  }

  observe(event: ServerEvent): void {
    switch (event.type) {
      case 'listening':
        this.#connections = event.connections;
        this.#accepting = true;
        this.#ports.unshift(event.address);
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

  /** The bound TCP port, the first of several; 0 for none. */
  get port(): number {
    return this.#ports[0]?.port ?? 0;
  }

  /** Adds another address that the server listens on. */
  addAddress(address: Address): void {
    this.#ports.push(address);
  }

  /** Adds a connection. @returns Its activity, which the handler updates. */
  add(connection: ConnectionView): Activity {
    const activity = { lastRequestAt: Date.now(), busy: false };
    this.#activities.set(connection, activity);
    return activity;
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
    const seconds = (since: number) => Math.floor((Date.now() - since) / 1000);
    for (const [index, port] of this.#ports.entries()) {
      yield [`${index}:addr`, named(port)];
      yield [`${index}:state`, 'conn_listening'];
      yield [`${index}:secs_since_last_cmd`, seconds(this.#since)];
    }
    for (const connection of this.#connections) {
      const { id, peer, local, openedAt } = connection;
      const activity = this.#activities.get(connection);
      // IDs begin with 1.
      const number = id + this.#ports.length - 1;
      yield [`${number}:addr`, named(peer)];
      yield [`${number}:listen_addr`, named(local)];
      yield [`${number}:state`, stateOf(connection, activity?.busy === true)];
      yield [`${number}:secs_since_last_cmd`, seconds(activity?.lastRequestAt ?? openedAt)];
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

/** The state by its name in the original, which has more of them. */
function stateOf({ unsent, bytesIn }: ConnectionView, busy: boolean): string {
  if (busy) return 'conn_parse_cmd';
  if (unsent > 0) return 'conn_mwrite';
  return bytesIn === 0 ? 'conn_new_cmd' : 'conn_read';
}

function named({ address = '', port }: Address): string {
  if (port === undefined) return `unix:${address}`;
  return address.includes(':') ? `tcp6:[${address}]:${port}` : `tcp:${address}:${port}`;
}
