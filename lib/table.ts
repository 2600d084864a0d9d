import type { Observable } from 'rxjs';
import type { Closed, ConnectionView, LiveSet } from './connectionView.ts';
import type { Address } from './transport/transport.ts';

/**
 * How far a connection is.
 *
 * - `open`: it is being served.
 * - `draining`: it was asked to finish, and has not.
 * - `ending`: nothing more is written; what was written is being sent, and our FIN follows.
 * - `lingering`: our FIN is sent; the peer's is awaited.
 * - `closing`: it is aborted, or its peer has left; its socket is about to be closed.
 */
export type ConnectionState = 'open' | 'draining' | 'ending' | 'lingering' | 'closing';

/** The figures of a connection at one moment: a plain object, which does not change. */
export interface ConnectionRow
  extends Pick<
    ConnectionView,
    'id' | 'peer' | 'via' | 'openedAt' | 'bytesIn' | 'bytesOut' | 'unsent' | 'dropped' | 'paused' | 'idle'
  > {
  /** How far the connection is. */
  readonly state: ConnectionState;
}

/** All connections at the moment of the subscription: the first value of `changes`. */
export interface TableSnapshot {
  readonly type: 'snapshot';
  /** One for each connection, in the order in which they were opened. */
  readonly rows: readonly ConnectionRow[];
}
/** A connection is being served from now on. */
export interface OpenedChange {
  readonly type: 'opened';
  /** Its figures now. */
  readonly row: ConnectionRow;
}
/** A connection was asked to finish: its `state` is `draining` now. */
export interface DrainingChange {
  readonly type: 'changed';
  /** Its figures now. */
  readonly row: ConnectionRow;
}
/** A connection is closed: the same as the event `closed`. */
export interface ClosedChange extends Closed {
  readonly type: 'closed';
  /** The number of the connection. */
  readonly id: number;
  /** The address of the client. */
  readonly peer: Address;
}

/** What happens to the connections of a port. Figures alone are no change: sample them with `rows()`. */
export type TableChange = TableSnapshot | OpenedChange | DrainingChange | ClosedChange;

/** How to drain, for a rehearsal. Times are in milliseconds. */
export interface RehearsalOptions {
  /** Milliseconds to go on accepting after the signal. @default that of the server */
  readonly announce?: number | undefined;
  /** Milliseconds that connections have to finish; then they are aborted. @default that of the server, 10000 for `listen` */
  readonly grace?: number | undefined;
  /** Milliseconds over which connections are asked to finish, one by one. @default that of the server */
  readonly spread?: number | undefined;
}

/**
 * What a drain would do if it began now. It is an estimate, made of what the library sees:
 *
 * - A connection is idle if nothing of a frame is read, nothing is unsent, and neither an `exchange`, a loop nor a generator works
 *   on a request. The library does not see other work, such as that of `mergeMap`, nor whether a handler completes with its input.
 * - Unsent bytes take as long as at the rate since the network last had room for all; for ever if none has left for a second.
 * - A request in progress, or the rest of a frame, takes as long again as it has been since a byte last came or went.
 * - A peer answers our FIN at once. One that does not makes the drain longer by up to `linger`.
 */
export interface Rehearsal {
  /** Connections that would end as soon as it is their turn to be asked. */
  readonly idle: number;
  /** Connections that would end when their work is done, or by a deadline of their own, within the grace. */
  readonly busy: number;
  /** Connections that would be aborted at the end of the grace. */
  readonly aborted: number;
  /** Bytes that would not be sent: those of connections that are aborted, or whose peers stall. */
  readonly unsent: number;
  /** Milliseconds that it would take. */
  readonly duration: number;
  /** Milliseconds after which it would be over in any case, unless the process is stopped meanwhile. */
  readonly longest: number;
}

/** The connections of a port that are being served, or closing. It is current whenever it is read. */
export interface ConnectionTable extends LiveSet<ConnectionView> {
  /** The figures of all connections now, in the order in which they were opened. */
  rows(): ConnectionRow[];
  /**
   * For each subscriber the rows of now, and then each change, in order.
   *
   * ```text
   * connections   A--B-------A drains--A closes--
   * subscribed    -----^
   * changes       -----s-----c---------x---------|     s: A and B; it completes with the last connection of a closed port
   * ```
   *
   * It also completes when the server is unsubscribed, and when a drain is over although sockets are open. What a subscriber
   * does or throws within the call disturbs neither the server nor other subscribers. Without a subscriber it costs nothing.
   */
  readonly changes: Observable<TableChange>;
  /**
   * Asks the connections for which the predicate holds to finish, as `connection.drain()` does. Some at once, and if there are
   * many the rest in the next iterations of the event loop.
   *
   * @param predicate Called once for each connection, before the first is asked. What it throws is thrown, and none is asked.
   * @param reason The `detail` of their `closed` events.
   * @returns How many are asked: those that have not been asked before, and have not ended.
   * @throws TypeError if the predicate is not a function, or does not return a boolean; if the reason is not a string, or empty.
   */
  drain(predicate: (connection: ConnectionView) => boolean, reason?: string): number;
  /**
   * Aborts the connections for which the predicate holds, as `connection.abort()` does. Otherwise as {@link drain}.
   *
   * @param predicate Called once for each connection, as by {@link drain}.
   * @param reason The `detail` of their `closed` events.
   * @returns How many are aborted: those that are not closing already.
   */
  abort(predicate: (connection: ConnectionView) => boolean, reason?: string): number;
  /**
   * Says what a drain would do if it began now, or one with other settings. Nothing is closed.
   *
   * @param options Other settings, in milliseconds: see {@link RehearsalOptions}.
   * @returns The estimate.
   * @throws TypeError or RangeError for options that do not exist or are not allowed.
   */
  rehearse(options?: RehearsalOptions): Rehearsal;
}
