import { BehaviorSubject, finalize, map, of, Subject, take } from 'rxjs';
import { expect } from 'vitest';
import type { Limits, ListeningEvent, ServerEvent } from '../../lib/events.ts';
import { type Connection, exchange, lines } from '../../lib/index.ts';
import type { WaitingOrder } from '../../lib/listen/handOutOrder.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { internalsOf } from '../support/internals.ts';
import { TestServer } from '../support/testServer.ts';

const INFINITY = Number.POSITIVE_INFINITY;

/** How the server begins. */
export interface Settings {
  overflow: 'refuse' | 'park' | 'evict';
  order: WaitingOrder;
  /** Whether the limit on connections that are served is an Observable. */
  isLive: boolean;
  timeout: number;
  concurrency: number;
  max: number;
  perAddress: number;
}

/** A client, in the order of connects. A port accepts in this order, so the first is connection 1. */
interface Peer {
  readonly client: MemoryClient;
  readonly address: string;
  state: 'connecting' | 'waiting' | 'active' | 'closed' | 'refused';
  /** When it was refused. A client that does not answer our FIN keeps its socket for 100 ms more. */
  refusedAt: number;
}

/** The counts before a command, to which the laws refer. */
interface Before {
  active: number;
  waiting: number;
  accepted: number;
  open: Map<string, number>;
}

/** A whole server on virtual time, its clients, and the laws that hold after each command. */
export class World {
  readonly settings: Settings;
  readonly concurrency: BehaviorSubject<number>;
  readonly max: BehaviorSubject<number>;
  readonly perAddress: BehaviorSubject<number>;
  readonly perSecond = new BehaviorSubject(INFINITY);
  readonly replies = new Subject<void>();
  readonly server: TestServer;
  readonly peers: Peer[] = [];
  /** Connections that have a request in progress. */
  readonly busy = new Set<number>();
  /** The events of the last command. */
  news: ServerEvent[] = [];
  isOver = false;
  /** Connections that were evicted so far. */
  readonly evicted = new Set<number>();
  readonly seen: Map<string, number>;

  constructor(settings: Settings, seen: Map<string, number>) {
    this.settings = settings;
    this.seen = seen;
    this.concurrency = new BehaviorSubject(settings.concurrency);
    this.max = new BehaviorSubject(settings.max);
    this.perAddress = new BehaviorSubject(settings.perAddress);
    const { overflow, order, timeout, isLive } = settings;
    this.server = new TestServer((connection) => this.#handle(connection), {
      concurrency: isLive ? this.concurrency : settings.concurrency,
      waiting: { max: this.max, timeout, order },
      perAddress: { connections: this.perAddress },
      accepts: { perSecond: this.perSecond },
      overflow,
      idle: INFINITY,
      greeting: INFINITY,
      reply: INFINITY,
    });
    const { next } = this.server.log;
    Object.assign(this.server.log, {
      next: (event: ServerEvent) => {
        this.#receive(event);
        next(event);
      },
    });
  }

  #handle(connection: Connection) {
    const answer = (line: string) => {
      if (line === 'now') return of('now\n');
      this.busy.add(connection.id);
      return this.replies.pipe(
        take(1),
        map(() => 'later\n'),
        finalize(() => this.busy.delete(connection.id)),
      );
    };
    return exchange(lines(), answer)(connection);
  }

  #receive(event: ServerEvent): void {
    this.news.push(event);
    if (event.type === 'opened' || event.type === 'closed' || event.type === 'refused') {
      const peer = this.peers[event.id - 1] as Peer;
      peer.state = event.type === 'opened' ? 'active' : event.type;
      if (event.type === 'opened') expect(this.count('active')).toBeLessThanOrEqual(this.limits.concurrency as number);
      else this.#count(event.reason);
      if (event.type === 'refused') peer.refusedAt = this.server.clock.now();
    }
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  get #listening(): ListeningEvent {
    return this.server.log.of('listening')[0] as ListeningEvent;
  }

  get limits(): Limits {
    return this.#listening.limits;
  }

  count(state: Peer['state']): number {
    return this.peers.filter((peer) => peer.state === state).length;
  }

  connect(address: string, allowHalfOpen: boolean): void {
    const port = this.peers.length + 1;
    const client = this.server.network.connect({ address: { address, port }, allowHalfOpen });
    this.peers.push({ client, address, state: 'connecting', refusedAt: INFINITY });
  }

  /** The connections of each address that are open. */
  open(): Map<string, number> {
    const open = new Map<string, number>();
    for (const { address, state } of this.peers)
      if (state === 'waiting' || state === 'active') open.set(address, (open.get(address) ?? 0) + 1);
    return open;
  }

  before(): Before {
    this.news = [];
    const { active, waiting, accepted } = this.server.log.counters;
    return { active, waiting, accepted, open: this.open() };
  }

  laws(before: Before, ms = 0): void {
    const { log } = this.server;
    const { accepted, waiting, active } = log.counters;
    for (const peer of this.peers.slice(0, accepted)) if (peer.state === 'connecting') peer.state = 'waiting';
    const { overflow } = this.settings;
    const limit = this.limits.concurrency as number;
    const now = { counters: log.counters, limits: this.limits, news: this.news, before };
    const law = (holds: boolean, what: string) => {
      if (!holds) expect(now, what).toBe(what);
    };
    law(waiting === this.count('waiting') && active === this.count('active'), 'the counters are those of the events');
    law(active <= limit || active <= before.active, 'no more are served than the limit says');
    law(waiting === 0 || active >= limit || this.isOver, 'none waits while a place is free');
    law(waiting <= this.limits.waiting + (overflow === 'refuse' ? 0 : 1) || waiting <= before.waiting, 'few wait');
    for (const [address, count] of this.open())
      law(count <= this.perAddress.value || count <= (before.open.get(address) ?? 0), 'few of one address are open');
    this.#refusals(before, ms, law);
    if (overflow === 'park') this.#parked(accepted, waiting, law);
    else law(accepted === this.peers.length, 'all are accepted');
    this.#evicted(before, ms, law);
  }

  #refusals(before: Before, ms: number, law: (holds: boolean, what: string) => void): void {
    const refused = this.news.filter((event) => event.type === 'refused');
    for (const { id, reason } of refused) {
      const { address } = this.peers[id - 1] as Peer;
      if (reason === 'per-address') {
        // Those that were open at some time in this command; a refused one counts until its socket is closed.
        const had = this.peers.filter(
          (peer, n) => peer.address === address && n !== id - 1 && this.#wasOpen(n + 1, ms),
        );
        const most = Math.max(before.open.get(address) ?? 0, had.length);
        law(most >= this.perAddress.value, 'an address within its limit is not refused');
      }
      if (reason === 'rate') law(this.perSecond.value < INFINITY, 'none is refused without a rate');
      if (this.isOver) continue;
      if (reason === 'full') law(this.settings.overflow !== 'park', 'none is refused as full by a port that parks');
      law(reason !== 'draining', 'none is refused before the drain');
    }
    if (this.perSecond.value === 0 && this.server.log.counters.accepted > before.accepted)
      law(refused.length >= this.server.log.counters.accepted - before.accepted, 'a rate of 0 lets none in');
  }

  #wasOpen(id: number, ms: number): boolean {
    const { state, refusedAt } = this.peers[id - 1] as Peer;
    if (state === 'refused') return this.server.clock.now() - refusedAt <= 100 + ms;
    return state === 'waiting' || state === 'active' || this.news.some((event) => 'id' in event && event.id === id);
  }

  #parked(accepted: number, waiting: number, law: (holds: boolean, what: string) => void): void {
    const most = Math.max(1, this.limits.waiting);
    if (this.isOver) return;
    if (this.limits.isParked) law(waiting > most - Math.max(1, Math.floor(most / 4)), 'a port with room accepts');
    else law(waiting < most && accepted === this.peers.length, 'a port that is full does not accept');
    if (accepted < this.peers.length) this.#count('parked');
  }

  #evicted(before: Before, ms: number, law: (holds: boolean, what: string) => void): void {
    if (this.isOver) return;
    const connections = [...this.#listening.connections];
    const leaving = connections.filter(({ isDraining }) => isDraining);
    const closed = this.news.filter((event) => event.type === 'closed' && event.reason === 'evicted');
    const knownBefore = this.evicted.size;
    for (const one of [...leaving, ...closed]) if ('id' in one) this.evicted.add(one.id as number);
    const evicted = this.evicted.size - knownBefore;
    const { accepted, waiting } = this.server.log.counters;
    const came = accepted - before.accepted + before.waiting;
    const tooMany = Math.max(0, before.active - (this.limits.concurrency as number));
    law(evicted <= came + tooMany, 'no more are evicted than wait for a place');
    law(evicted === 0 || this.settings.overflow === 'evict', 'none is evicted otherwise');
    if (this.settings.overflow !== 'evict') return;
    law(!leaving.some(({ id }) => this.busy.has(id)), 'a connection with a request in progress is not evicted');
    const idle = connections.filter((one) => !one.isDraining && !internalsOf(one).over && !this.busy.has(one.id));
    // One that is served in this way can be evicted for the next one that waits, but 50 ms later.
    const now = this.server.clock.now();
    const longIdle = idle.filter((one) => now - internalsOf(one).watchdog.lastActivity > 50);
    // One that was evicted and is gone now may have made no room, because the limit was lowered: the next look is in 50 ms.
    if (ms >= 50 && waiting > leaving.length && evicted === 0 && closed.length === 0)
      law(longIdle.length === 0, 'none waits while a connection can be evicted');
  }
}
