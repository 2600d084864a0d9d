import type { Address, ConnectionView, ServerEvent } from '../../lib/index.ts';
import type { Traffic } from '../support/index.ts';
import type { Stat } from './cache.ts';

/** What one connection is about. */
export interface Talk {
  /** When it asked last, in milliseconds since 1970; when it was opened, before. */
  asked: number;
  /** A request of it is being answered. */
  busy: boolean;
}

/** The connections of the server, by the names that `stats` has for them: kept by looking at the server's events. */
export class Census {
  readonly #max: number;
  readonly #traffic: Traffic;
  #connections: ReadonlySet<ConnectionView> = new Set();
  #accepting = false;
  /** What is listened on, in the order of the command line. */
  readonly #ports: Address[] = [];
  readonly #talks = new WeakMap<ConnectionView, Talk>();
  readonly #since = Date.now();
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

  /** The TCP port that was bound, the first of several; 0 for none. */
  get port(): number {
    return this.#ports[0]?.port ?? 0;
  }

  /** It is listened on another address, too. */
  alsoAt(address: Address): void {
    this.#ports.push(address);
  }

  /** A connection begins: what it asks is to be told here. */
  talk(connection: ConnectionView): Talk {
    const talk = { asked: Date.now(), busy: false };
    this.#talks.set(connection, talk);
    return talk;
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
      const talk = this.#talks.get(connection);
      // Ids begin with 1.
      const number = id + this.#ports.length - 1;
      yield [`${number}:addr`, named(peer)];
      yield [`${number}:listen_addr`, named(local)];
      yield [`${number}:state`, stateOf(connection, talk?.busy === true)];
      yield [`${number}:secs_since_last_cmd`, seconds(talk?.asked ?? openedAt)];
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

/** In the words of the original, of which it has some more. */
function stateOf({ unsent, bytesIn }: ConnectionView, busy: boolean): string {
  if (busy) return 'conn_parse_cmd';
  if (unsent > 0) return 'conn_mwrite';
  return bytesIn === 0 ? 'conn_new_cmd' : 'conn_read';
}

function named({ address = '', port }: Address): string {
  if (port === undefined) return `unix:${address}`;
  return address.includes(':') ? `tcp6:[${address}]:${port}` : `tcp:${address}:${port}`;
}
