import { type NextObserver, Observable, Subject } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { type ConnectionOptions, connectionChecks, settings, transportOptions } from '../connection/settings.ts';
import { type ConnectionOwner, SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import type { Closed, ClosedEvent, Counters, ListenEvent, RefusalReason } from '../events.ts';
import {
  type Check,
  check,
  data,
  describe,
  flag,
  having,
  isData,
  milliseconds,
  object,
  oneOf,
  text,
  unixPath,
  whole,
} from '../options.ts';
import { Queue } from '../queue.ts';
import { nextIteration } from '../time/eventLoop.ts';
import { TurnQuota } from '../time/turnQuota.ts';
import type { Address, PortHandler, TransportSocket, Where } from '../transport/transport.ts';
import { descriptorLimit } from './descriptors.ts';
import { Parting } from './parting.ts';
import { Spell } from './spell.ts';
import { WaitingRoom } from './waitingRoom.ts';

/** How to listen. Times are in milliseconds; `Infinity` for no limit. */
export interface ListenOptions extends ConnectionOptions {
  /** Where events go: a Subject, or any observer. */
  readonly events?: NextObserver<ListenEvent> | undefined;
  /** Connections that have been accepted and wait for the pipe. */
  readonly waiting?:
    | {
        /** How many may wait; one more is refused as `full`. @default 1000 */
        readonly max?: number | undefined;
        /** How long each may wait; then it is refused as `timeout`. @default 5000 */
        readonly timeout?: number | undefined;
      }
    | undefined;
  /**
   * What happens to connections that find no room: `refuse` sends a FIN at once. What such a client sends is read and discarded
   * for 100 ms, for 1000 of them at a time, because a close with unread input would send a RST. (`park` is to come.)
   * @default 'refuse'
   */
  readonly overflow?: 'refuse' | undefined;
  /**
   * What a refused connection is told before its FIN, or a function from the reason of the refusal to that. Where the
   * function returns `undefined` nothing is told, and where it throws there is a `failed` event, too. @default nothing
   */
  readonly farewell?: Data | ((reason: RefusalReason) => Data | undefined) | undefined;
  /**
   * Connections handed out before one of them has been taken. It is no limit for each address, since one address can have all
   * of them: the second example of {@link listen} is.
   * @default 1
   */
  readonly ahead?: number | undefined;
  /** Connections the kernel completes before they are accepted; it has a limit of its own (`net.core.somaxconn`). @default 4096 */
  readonly backlog?: number | undefined;
}

/** @internal */
export const listenChecks: Record<string, Check> = {
  ...connectionChecks,
  events: having('an observer', 'next'),
  waiting: object({ max: whole(0), timeout: milliseconds }),
  overflow: (value) => (value === 'park' ? "cannot be 'park' yet: only 'refuse' is there" : oneOf('refuse')(value)),
  farewell: (value) =>
    typeof value === 'function' || isData(value)
      ? undefined
      : `must be a string, a Uint8Array or a function, not ${describe(value)}`,
  ahead: whole(1),
  backlog: whole(1, 0x7fffffff),
  transport: having('a Transport', 'listen'),
};

/** @internal */
export function checkWhere(what: string, where: Where): Where {
  const given = typeof where === 'object' && where !== null ? where : {};
  const kind = KINDS.find(([key]) => key in given);
  if (!kind) throw new TypeError(`Cannot ${what}: where must have a port, a path or an fd`);
  const [key, checks] = kind;
  const read = check(what, where, checks, 'where');
  // Node takes a port that is there but undefined for 0, any that is free.
  if (!(key in read)) throw new TypeError(`Cannot ${what}: ${key} is undefined`);
  return read;
}

const KINDS: readonly (readonly [string, Record<string, Check>])[] = [
  ['port', { port: whole(0, 65535), host: text, ipv6Only: flag }],
  ['path', { path: unixPath }],
  ['fd', { fd: whole(0) }],
];

/**
 * Listens for connections: an Observable of {@link Connection}s, each an Observable of bytes.
 *
 * ```text
 * listen({ port })   --A---B-C----     each waits to be subscribed
 *                    #                 EADDRINUSE, EACCES …
 * ```
 *
 * **Cold**: the port is opened by the subscription and closed when it ends; connections that have been taken stay as they
 * are. It never completes by itself.
 *
 * **It hands out a connection only when the last one has been subscribed.** So whatever limits by not subscribing, such as
 * `mergeMap` with its concurrency argument, limits the server. Others wait: bounded, first in first out; and who finds no room
 * or waits too long is refused, with an event. An operator that drops a connection says so with `connection.refuse()`.
 *
 * @example
 * listen({ port: 7000 }).pipe(
 *   takeUntil(shutdown),
 *   mergeMap((connection) => connection.pipe(lines(), map(encodeLine), connection.send(), catchError(() => EMPTY)), 1000),
 * ).subscribe();
 *
 * @example At most 10 connections from each address, and 1000 in all.
 * const open = new Map<string, number>();
 * listen({ port: 7000 }).pipe(
 *   filter((connection) => {
 *     const { address = '' } = connection.peer;
 *     const count = open.get(address) ?? 0;
 *     if (count >= 10) {
 *       connection.refuse('too many');
 *       return false;
 *     }
 *     open.set(address, count + 1);
 *     connection.closed.subscribe(() => {
 *       const left = (open.get(address) ?? 1) - 1;
 *       if (left > 0) open.set(address, left);
 *       else open.delete(address);
 *     });
 *     return true;
 *   }),
 *   mergeMap(handle, 1000),
 * ).subscribe();
 *
 * @param where A TCP port and host, the path of a unix socket, or a descriptor.
 * @param options See {@link ListenOptions}.
 * @returns Connections. It errors with Node's own error if the port cannot be opened.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function listen(where: Where, options: ListenOptions = {}): Observable<Connection> {
  const place = checkWhere('listen', where);
  return open(place, check('listen', options, listenChecks), new Parting());
}

/** @internal As {@link listen}, for options that have been checked. @param parting Where those go who are refused. */
export function open(where: Where, options: ListenOptions, parting: Parting): Observable<SocketConnection> {
  const { backlog = 4096 } = options;
  const { transport, ...socket } = transportOptions(options);
  return new Observable((subscriber) => {
    const listener = new Listener(
      options,
      parting,
      (connection) => connection.inContext(() => subscriber.next(connection)),
      (error) => subscriber.error(error),
    );
    const port = transport.listen(where, { backlog, ...socket }, listener);
    return () => {
      port.close();
      listener.close();
    };
  });
}

/** One subscription of `listen`: counts, refuses, and tells. */
class Listener implements PortHandler, ConnectionOwner {
  readonly #options: ListenOptions;
  readonly #error: (error: Error) => void;
  readonly #waitingRoom: WaitingRoom<SocketConnection>;
  readonly #settings;
  readonly #spell: Spell;
  readonly #counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };
  readonly #connections = new Set<SocketConnection>();
  readonly #parting: Parting;
  /** Those who left while they waited, and were found when their turn came. */
  readonly #abandoned = new Queue<SocketConnection>();
  /** An observer that throws is RxJS's to report: it disturbs nothing here. */
  readonly #events = new Subject<ListenEvent>();
  #listening = false;

  constructor(
    options: ListenOptions,
    parting: Parting,
    hand: (connection: SocketConnection) => void,
    error: (error: Error) => void,
  ) {
    const { waiting: { max = 1000, timeout = 5000 } = {}, ahead = 1 } = options;
    this.#options = options;
    this.#parting = parting;
    this.#error = error;
    if (options.events) this.#events.subscribe(options.events);
    this.#settings = settings(options);
    this.#spell = new Spell(descriptorLimit(), this.#settings.clock, (event) => this.#tell(event));
    this.#waitingRoom = new WaitingRoom(
      { max, timeout, ahead, clock: this.#settings.clock },
      {
        hand,
        refuse: (...who) => this.#refuse(...who),
        waits: (connection) => connection.wait(),
        gone: (connection) => this.#isAbandoned(connection),
      },
    );
  }

  listening(address: Address): void {
    this.#listening = true;
    this.#tell({ type: 'listening', address, counters: this.#counters as Counters, connections: this.#connections });
  }

  accepted(socket: TransportSocket): void {
    const { descriptor } = socket;
    const connection = new SocketConnection(++this.#counters.accepted, socket, this.#settings, this);
    this.#counters.waiting++;
    if (descriptor !== undefined && this.#spell.accepted(descriptor, this.#open)) this.#refuse(connection, 'exhausted');
    else if (this.#settings.budget.exhausted) this.#refuse(connection, 'budget');
    else this.#waitingRoom.arrive(connection);
  }

  error(error: Error): void {
    // One accept that goes wrong (a client that gave up, a lack of memory) is no reason to end a server.
    if (this.#listening) this.#tell({ type: 'failed', error });
    else this.#error(error);
  }

  taken(connection: SocketConnection): void {
    this.#leftRoom(connection);
    this.#connections.add(connection);
    this.#counters.active++;
    const { id, peer, waited } = connection;
    this.#tell({ type: 'opened', id, peer, waited });
    this.#waitingRoom.taken(connection);
  }

  missed(connection: SocketConnection): void {
    this.#waitingRoom.taken(connection);
  }

  refuse(connection: SocketConnection, reason: string): void {
    this.#refuse(connection, reason);
    this.#waitingRoom.leave(connection, true);
  }

  closed(connection: SocketConnection, closed: Closed): void {
    if (connection.counted) {
      // Its client left while it waited. Its place in the pipe's own buffer, if it has one, is not free for that.
      this.#waitingRoom.leave(connection, false);
      this.#leftRoom(connection);
      this.#counters.refused++;
      this.#tellRefused(connection, 'gone');
    } else if (connection.taken) {
      this.#connections.delete(connection);
      this.#counters.active--;
      this.#counters.closed++;
      this.#tell(closedEvent(connection, closed));
    } else {
      this.#parting.delete(connection);
    }
    this.#spell.closed(this.#open);
  }

  get #open(): number {
    return this.#counters.waiting + this.#counters.active;
  }

  close(): void {
    while (this.#abandoned.size > 0) this.#refuseAbandoned();
    this.#waitingRoom.close();
  }

  /** Many may have left: the one behind them does not wait until all of them are closed. */
  #isAbandoned(connection: SocketConnection): boolean {
    if (!connection.abandoned) return false;
    this.#abandoned.push(connection);
    if (this.#abandoned.size === 1) this.#refuseLater();
    return true;
  }

  #refuseLater(): void {
    const { clock } = this.#settings;
    const share = new TurnQuota(clock);
    const go = () => {
      while (this.#abandoned.size > 0) {
        this.#refuseAbandoned();
        if (share.spend()) return nextIteration(clock, go);
      }
    };
    nextIteration(clock, go);
  }

  #refuseAbandoned(): void {
    const connection = this.#abandoned.shift();
    if (connection) this.#refuse(connection, 'gone');
  }

  #refuse(connection: SocketConnection, reason: RefusalReason): void {
    if (!connection.counted) return;
    this.#leftRoom(connection);
    this.#counters.refused++;
    // One that lingers keeps its descriptor.
    const linger = reason === 'exhausted' || reason === 'gone' ? 0 : this.#parting.linger;
    if (linger > 0) this.#parting.add(connection);
    // Before it is told: whoever hears of it may free a place, for which it must not be taken any more.
    connection.dismiss(linger > 0 ? this.#farewell(connection, reason) : undefined, linger);
    this.#tellRefused(connection, reason);
  }

  #farewell({ id, peer }: SocketConnection, reason: RefusalReason): Data | undefined {
    const { farewell } = this.#options;
    if (typeof farewell !== 'function') return farewell;
    try {
      const said = farewell(reason);
      const wrong = said === undefined ? undefined : data(said);
      if (wrong === undefined) return said;
      throw new TypeError(`Cannot say farewell: what the function returns ${wrong}`);
    } catch (error) {
      this.#tell({ type: 'failed', id, peer, error });
      return undefined;
    }
  }

  #tellRefused(connection: SocketConnection, reason: RefusalReason): void {
    const { id, peer, waited } = connection;
    this.#tell({ type: 'refused', id, peer, reason, waited });
  }

  #leftRoom(connection: SocketConnection): void {
    connection.counted = false;
    this.#counters.waiting--;
  }

  #tell(event: ListenEvent): void {
    this.#events.next(event);
  }
}

/** Field by field: a spread of what is not always the same takes several times as long, and each connection has one. */
function closedEvent({ id, peer }: SocketConnection, closed: Closed): ClosedEvent {
  const { reason, deadline, held, error, detail, bytesIn, bytesOut, unsent, dropped, paused, duration } = closed;
  const event = { type: 'closed' as const, id, peer, reason, bytesIn, bytesOut, unsent, dropped, paused, duration };
  if (error === undefined && detail === undefined) return event;
  return {
    ...event,
    ...(error !== undefined && { error }),
    ...(deadline !== undefined && { deadline }),
    ...(held !== undefined && { held }),
    ...(detail !== undefined && { detail }),
  };
}
