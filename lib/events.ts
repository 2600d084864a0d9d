import type { DeadlineName } from './errors.ts';
import type { Address } from './transport/transport.ts';

/**
 * Why a connection was closed. Each connection has one reason: the first that applied. But `ended`, `completed` and `drained`
 * state that everything written was sent. If that fails, the reason of the failure replaces them.
 *
 * - `ended`: the peer sent its FIN, and its requests were answered.
 * - `completed`: the handler completed.
 * - `drained`: the server asked the connection to finish, and it finished.
 * - `reset`: the peer or the network aborted the connection.
 * - `failed`: the handler failed, perhaps with an error of another connection that it uses.
 * - `deadline`: the peer missed a deadline, or the lifetime of the connection was over; `deadline` names it.
 * - `frame-too-long`, `frame-truncated`, `frame-invalid`: the input could not be framed or decoded.
 * - `slow-consumer`: the peer did not read what the handler wrote.
 * - `evicted`: all connections held more than the server's `budget`, and this one did not release its part, which is `held`.
 * - `aborted`: the server aborted the connection, by a call of `abort()` or because the drain's grace was over.
 */
export type CloseReason =
  | 'ended'
  | 'completed'
  | 'drained'
  | 'reset'
  | 'failed'
  | 'deadline'
  | 'frame-too-long'
  | 'frame-truncated'
  | 'frame-invalid'
  | 'slow-consumer'
  | 'evicted'
  | 'aborted';

/**
 * Why a connection was refused, and not served.
 *
 * - `full`: the waiting room was full.
 * - `timeout`: it waited for longer than the waiting room allows.
 * - `draining`: the server was shutting down.
 * - `exhausted`: the process was about to run out of descriptors.
 * - `budget`: all connections together held more bytes than the server's `budget`.
 * - `gone`: the peer closed it while it waited.
 *
 * An operator behind `listen` that refuses a connection may give any other reason.
 */
export type RefusalReason = 'full' | 'timeout' | 'draining' | 'exhausted' | 'budget' | 'gone' | (string & {});

/** How long the input of a connection was paused, in milliseconds, for each cause. Several causes may apply at once. */
export interface Paused {
  /** The peer did not read what was written. */
  readonly peer: number;
  /** The handler had as much in progress as its limits allow. */
  readonly handler: number;
  /** All connections together held more bytes than the server's `budget`. */
  readonly budget: number;
}

/** What an observer of the server can read of a connection, and do to it. A `Connection` is one. */
export interface ConnectionView {
  /** Unique among the connections of one listener: 1, 2, 3 … in the order of accept. */
  readonly id: number;
  /** The remote address. */
  readonly peer: Address;
  /** The local address, while the socket is open. */
  readonly local: Address;
  /** When the connection was accepted, in milliseconds since 1970. */
  readonly openedAt: number;
  /** Bytes received so far. */
  readonly bytesIn: number;
  /** Bytes sent so far. */
  readonly bytesOut: number;
  /** Bytes that were written and have not been sent yet. */
  readonly unsent: number;
  /** Values that were dropped because the peer read too slowly. */
  readonly dropped: number;
  /** How long the input has been paused, for each cause. */
  readonly paused: Paused;
  /** Whether the connection has been asked to finish. */
  readonly isDraining: boolean;
  /** Asks the connection to finish at its next frame boundary. */
  drain(): void;
  /** Ends the connection gracefully: flushes what was written, then sends a FIN. */
  end(detail?: string): void;
  /** Closes the connection at once with a RST: unsent bytes are dropped. */
  abort(detail?: string): void;
}

/** The final figures of a closed connection. */
export interface Closed {
  /** Why it was closed. */
  readonly reason: CloseReason;
  /** The deadline that passed, if one did: with the reason `deadline`, `stall` with `slow-consumer`, or `reply` with `failed`. */
  readonly deadline?: DeadlineName;
  /** How many bytes of memory it held, if the reason is `evicted`. */
  readonly held?: number;
  /** The error that closed it, if one did. */
  readonly error?: unknown;
  /** The text that was passed to `end()` or `abort()`, if the server called it. */
  readonly detail?: string;
  /** How many bytes were received. */
  readonly bytesIn: number;
  /** How many bytes were sent. */
  readonly bytesOut: number;
  /** How many bytes the handler wrote that were not sent. */
  readonly unsent: number;
  /** How many values were dropped because the peer read too slowly. */
  readonly dropped: number;
  /** How long the input was paused, for each cause. */
  readonly paused: Paused;
  /** Milliseconds from the accept to the close. */
  readonly duration: number;
}

/** How many connections there are and were. At any moment `accepted = waiting + active + closed + refused`. */
export interface Counters {
  /** All connections that the port has accepted. */
  readonly accepted: number;
  /** Accepted, but not yet subscribed to. */
  readonly waiting: number;
  /** Being served, or closing. */
  readonly active: number;
  /** Served and closed. */
  readonly closed: number;
  /** Refused, and not served. */
  readonly refused: number;
}

/** The outcome of a drain. */
export interface DrainReport {
  /** All other connections that were closed: those that finished, and those that their peer reset or that missed a deadline. */
  readonly drained: number;
  /** Connections that the server aborted, including evicted ones. */
  readonly aborted: number;
  /** Connections that were refused since the drain began. */
  readonly refused: number;
  /** Bytes that handlers wrote and that were not sent, summed over all these connections. */
  readonly unsent: number;
  /** Milliseconds from the shutdown signal to the end. */
  readonly duration: number;
}

/** A set that is current whenever it is read. Items may be added and deleted while it is iterated over. */
export interface LiveSet<T> extends Iterable<T> {
  readonly size: number;
  has(item: T): boolean;
}

/** The port is open. `counters` and `connections` are live: they are current whenever they are read. */
export interface ListeningEvent {
  readonly type: 'listening';
  readonly address: Address;
  /** What serves the port: `handle` or `net` on the real network. Another transport may name itself, or not. */
  readonly transport?: string | undefined;
  readonly counters: Counters;
  /** The connections that are being served, or closing. */
  readonly connections: LiveSet<ConnectionView>;
}
/** A connection was subscribed to: it is being served from now on. */
export interface OpenedEvent {
  readonly type: 'opened';
  readonly id: number;
  readonly peer: Address;
  /** Milliseconds it had waited. */
  readonly waited: number;
}
/** A connection that was served is closed. */
export interface ClosedEvent extends Closed {
  readonly type: 'closed';
  readonly id: number;
  readonly peer: Address;
}
/** A connection was refused, and not served. */
export interface RefusedEvent {
  readonly type: 'refused';
  readonly id: number;
  readonly peer: Address;
  readonly reason: RefusalReason;
  /** Milliseconds it had waited. */
  readonly waited: number;
}
/**
 * A handler failed, and its connection with it; or the function for the last message to a refused connection failed; or one
 * accept failed, in which case there is no `id`. Nothing else is affected.
 */
export interface FailedEvent {
  readonly type: 'failed';
  readonly id?: number;
  readonly peer?: Address;
  readonly error: unknown;
}
/** The process is about to run out of descriptors, and refuses connections until some are free. Emitted once per shortage. */
export interface ExhaustedEvent {
  readonly type: 'exhausted';
  /** How many descriptors the process may have open. */
  readonly limit: number;
}
/**
 * Enough descriptors are free again: the end of the shortage that `exhausted` began. Emitted when enough connections have closed,
 * or enough in a row have found a descriptor. Enough is 32, or a sixteenth of the limit if that is less. Otherwise a few
 * descriptors more or less would emit both events again and again.
 */
export interface RecoveredEvent {
  readonly type: 'recovered';
  /** Connections that were refused as `exhausted` in this shortage. */
  readonly refused: number;
  /** Milliseconds since `exhausted`. */
  readonly duration: number;
}
/** The shutdown has begun: a readiness probe should fail from now on. */
export interface DrainingEvent {
  readonly type: 'draining';
  /** Connections that are being served, or closing. */
  readonly active: number;
  /** Connections that are waiting. */
  readonly waiting: number;
}
/** The shutdown is complete. This is the last event. */
export interface DrainedEvent extends DrainReport {
  readonly type: 'drained';
}

/** The events of `listen`. */
export type ListenEvent =
  | ListeningEvent
  | OpenedEvent
  | ClosedEvent
  | RefusedEvent
  | ExhaustedEvent
  | RecoveredEvent
  | FailedEvent;

/** The events of `serve`. */
export type ServerEvent = ListenEvent | DrainingEvent | DrainedEvent;
