import type { DeadlineName } from './errors.ts';
import type { Address } from './transport/transport.ts';

/**
 * Why a connection ended: exactly one a connection, and the first that came true.
 *
 * - `ended`: the peer said all it wanted to say, and has its answers.
 * - `completed`: the handler was done.
 * - `drained`: the server asked it to finish, and it did.
 * - `reset`: the peer or the network broke it off.
 * - `failed`: the handler failed, be it with an error of another connection that it uses.
 * - `deadline`: the peer let a deadline pass, or its lifetime was over; `deadline` says which.
 * - `frame-too-long`, `frame-truncated`, `frame-invalid`: its input could not be framed or decoded.
 * - `slow-consumer`: it did not read what the handler wrote.
 * - `evicted`: memory was short, and it held some that it did not give back; `held` says how much.
 * - `aborted`: the server broke it off, because somebody asked or because the drain's grace was over.
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
 * Why a connection was not served.
 *
 * - `full`: the waiting room was full.
 * - `timeout`: it waited too long.
 * - `draining`: the server was shutting down.
 * - `exhausted`: the process is about to run out of descriptors.
 * - `budget`: all connections together held more than the server may.
 * - `gone`: its client left while it waited.
 *
 * Whoever refuses one downstream may use words of his own.
 */
export type RefusalReason = 'full' | 'timeout' | 'draining' | 'exhausted' | 'budget' | 'gone' | (string & {});

/** How long the input of a connection was paused, in milliseconds, for each cause. Several causes may hold at once. */
export interface Paused {
  /** The peer did not take what was written. */
  readonly peer: number;
  /** The handler had as much work as its limits allow. */
  readonly handler: number;
  /** All connections together held more than the server's budget. */
  readonly budget: number;
}

/** What an observer of the server sees of a connection, and can do to it. A `Connection` is one. */
export interface ConnectionView {
  /** Unique among the connections of one listener: 1, 2, 3 … in the order of accept. */
  readonly id: number;
  /** The remote address. */
  readonly peer: Address;
  /** The local address, while the socket is open. */
  readonly local: Address;
  /** When it was accepted, in milliseconds since 1970. */
  readonly openedAt: number;
  /** Bytes received so far. */
  readonly bytesIn: number;
  /** Bytes sent so far. */
  readonly bytesOut: number;
  /** Bytes that were written and have not been sent yet. */
  readonly unsent: number;
  /** Values that were dropped because the peer reads too slowly. */
  readonly dropped: number;
  /** How long the input has been paused, for each cause. */
  readonly paused: Paused;
  /** Whether the connection has been asked to finish. */
  readonly isDraining: boolean;
  /** Asks the connection to finish at its next frame boundary. */
  drain(): void;
  /** Ends the connection in good order: what was written is flushed, and a FIN follows. */
  end(detail?: string): void;
  /** Closes the connection at once, with a RST. */
  abort(detail?: string): void;
}

/** A connection's last figures. */
export interface Closed {
  /** Why it ended. */
  readonly reason: CloseReason;
  /** Which deadline, where the reason is one; for a slow consumer `stall`, if it was that one; for `failed` `reply`, likewise. */
  readonly deadline?: DeadlineName;
  /** Bytes of memory that it held, where the reason is `evicted`. */
  readonly held?: number;
  /** What went wrong, where something did. */
  readonly error?: unknown;
  /** What the server said as it ended or broke the connection off: the text given to `end()` or `abort()`. */
  readonly detail?: string;
  /** Bytes received. */
  readonly bytesIn: number;
  /** Bytes sent. */
  readonly bytesOut: number;
  /** Bytes written by the handler that did not leave. */
  readonly unsent: number;
  /** Values that were dropped because the peer did not keep pace. */
  readonly dropped: number;
  /** For how long its input was held back, by who was to blame. */
  readonly paused: Paused;
  /** Milliseconds from its accept to its end. */
  readonly duration: number;
}

/** How many connections there are and were: `accepted = waiting + active + closed + refused`, at any moment. */
export interface Counters {
  /** All that the port ever accepted. */
  readonly accepted: number;
  /** Accepted, and not yet taken by the pipe. */
  readonly waiting: number;
  /** In the hands of a handler, or ending. */
  readonly active: number;
  /** Served and gone. */
  readonly closed: number;
  /** Not served. */
  readonly refused: number;
}

/** How a drain went. */
export interface DrainReport {
  /** Connections that finished in time. */
  readonly drained: number;
  /** Connections that were broken off, evicted ones included. */
  readonly aborted: number;
  /** Connections that were refused from the beginning of the drain on. */
  readonly refused: number;
  /** Bytes that handlers wrote and peers did not take, over all connections that were broken off. */
  readonly unsent: number;
  /** Milliseconds from the signal to the end. */
  readonly duration: number;
}

/** The port is open. `counters` and `connections` are live: they say the truth whenever they are looked at. */
export interface ListeningEvent {
  readonly type: 'listening';
  readonly address: Address;
  readonly counters: Counters;
  /** Those in the hands of handlers, or ending. */
  readonly connections: ReadonlySet<ConnectionView>;
}
/** A connection was taken by the pipe. */
export interface OpenedEvent {
  readonly type: 'opened';
  readonly id: number;
  readonly peer: Address;
  /** Milliseconds it had waited. */
  readonly waited: number;
}
/** A connection that was served is gone. */
export interface ClosedEvent extends Closed {
  readonly type: 'closed';
  readonly id: number;
  readonly peer: Address;
}
/** A connection was not served. */
export interface RefusedEvent {
  readonly type: 'refused';
  readonly id: number;
  readonly peer: Address;
  readonly reason: RefusalReason;
  /** Milliseconds it had waited. */
  readonly waited: number;
}
/**
 * A handler failed, and its connection with it; or the function that says the farewell of a refused connection did; or one
 * accept failed, and there is no `id`. Nothing else is affected.
 */
export interface FailedEvent {
  readonly type: 'failed';
  readonly id?: number;
  readonly peer?: Address;
  readonly error: unknown;
}
/** The process is about to run out of descriptors, and refuses connections until some are free. Emitted once for each spell. */
export interface ExhaustedEvent {
  readonly type: 'exhausted';
  /** How many descriptors the process may have. */
  readonly limit: number;
}
/**
 * Enough descriptors are free again: the end of the spell that `exhausted` began. Emitted when enough connections have closed,
 * or enough in a row have found a descriptor, so that a few descriptors more or less emit nothing: 32, or a sixteenth of the limit.
 */
export interface RecoveredEvent {
  readonly type: 'recovered';
  /** Connections that were refused as `exhausted` in this spell. */
  readonly refused: number;
  /** Milliseconds since `exhausted`. */
  readonly duration: number;
}
/** The shutdown has begun. Readiness can flip now. */
export interface DrainingEvent {
  readonly type: 'draining';
  /** Connections in the hands of handlers. */
  readonly active: number;
  /** Connections that wait. */
  readonly waiting: number;
}
/** The shutdown is over: the last event. */
export interface DrainedEvent extends DrainReport {
  readonly type: 'drained';
}

/** What `listen` says. */
export type ListenEvent =
  | ListeningEvent
  | OpenedEvent
  | ClosedEvent
  | RefusedEvent
  | ExhaustedEvent
  | RecoveredEvent
  | FailedEvent;

/** What `serve` says. */
export type ServerEvent = ListenEvent | DrainingEvent | DrainedEvent;
