import type { Closed, Security, Via } from './connectionView.ts';
import type { DeadlineName } from './errors.ts';
import type { ConnectionTable } from './table.ts';
import type { Address } from './transport/transport.ts';

export type { Closed, CloseReason, ConnectionView, LiveSet, Paused, Security, Via } from './connectionView.ts';

/**
 * Why a connection was refused, and not served.
 *
 * - `full`: the waiting room was full.
 * - `timeout`: it waited for longer than the waiting room allows.
 * - `draining`: the server was shutting down.
 * - `exhausted`: the process was about to run out of descriptors.
 * - `budget`: all connections together held more bytes than the server's `budget`.
 * - `denied`: its address is on the list `deny`, or is not on `allow`; or the function `admit` failed.
 * - `per-address`: its address has as many connections as it may have, which is `limit`; or, by default, more than its share, and it has
 *   given way to others for too long. The option `perAddress` changes that.
 * - `rate`, `rate-per-address`: more connections came in a second than `accepts` allows, in all or from its address.
 * - `gone`: the peer closed it while it waited.
 * - `deadline`: its PROXY header or its TLS handshake took too long; `deadline` says which.
 * - `tls`: the TLS handshake failed; `error` is a `TlsError`.
 * - `proxy`: the PROXY header was missing, malformed, or sent by an address that is not trusted; `error` says which.
 *
 * An operator behind `listen` that refuses a connection may give any other reason, and so may the function `admit`.
 */
export type RefusalReason =
  | 'full'
  | 'timeout'
  | 'draining'
  | 'exhausted'
  | 'budget'
  | 'denied'
  | 'per-address'
  | 'rate'
  | 'rate-per-address'
  | 'gone'
  | 'deadline'
  | 'tls'
  | 'proxy'
  | (string & {});

/** How many connections there are and were. At any moment `accepted = waiting + active + closed + refused`. */
export interface Counters {
  /** All connections that the port has accepted. */
  readonly accepted: number;
  /** Connections that were accepted, and are not yet subscribed to. */
  readonly waiting: number;
  /** Connections that are being served, or closing. */
  readonly active: number;
  /** Connections that were served and are closed. */
  readonly closed: number;
  /** Connections that were refused, and not served. */
  readonly refused: number;
}

/** The limits of a port that may change while it is open. */
export interface Limits {
  /** Connections served at a time; `undefined` with `listen`, where operators decide. */
  readonly concurrency: number | undefined;
  /** Connections that may wait. */
  readonly waiting: number;
  /** Whether the port does not accept now, and lets clients wait in the queue of the kernel (`overflow: 'park'`). */
  readonly isParked: boolean;
  /** Whether the port is closed, and accepts no more: in a drain, or because the subscription has ended or failed. */
  readonly isClosed: boolean;
}

/** What the connections of a port use, and what they may. */
export interface Resources {
  /** Bytes that all connections hold together: read and not processed, written and not sent. */
  readonly held: number;
  /** How many bytes they may hold together: the option `budget`. */
  readonly budget: number;
  /** TLS handshakes of arriving connections that are in progress, or wait for their turn. */
  readonly handshakes: number;
  /** How many descriptors the process may have open. */
  readonly descriptors: number;
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

/** The port is open. `counters` and `connections` are live: they are current whenever they are read. */
export interface ListeningEvent {
  readonly type: 'listening';
  /** The address that the port is bound to. */
  readonly address: Address;
  /** What serves the port: `handle` or `net` on the real network; `undefined` if a transport does not name itself. */
  readonly transport?: string | undefined;
  /** How many connections there are and were. Live. */
  readonly counters: Counters;
  /** How many connections were refused for each reason. Live. At most 100 reasons are counted apart, and others as `other`. */
  readonly refusals: ReadonlyMap<RefusalReason, number>;
  /** The limits that hold. Live. */
  readonly limits: Limits;
  /** What the connections use of memory, and what they may. Live. */
  readonly resources: Resources;
  /** The connections that are being served, or closing. */
  readonly connections: ConnectionTable;
}
/** A connection was subscribed to: it is being served from now on. */
export interface OpenedEvent {
  readonly type: 'opened';
  /** The number of the connection, as in its other events. */
  readonly id: number;
  /** The address of the client. */
  readonly peer: Address;
  /** The proxy, if a PROXY header came first. */
  readonly via?: Via;
  /** What the TLS handshake negotiated, if there was one. */
  readonly security?: Security;
  /** Milliseconds that its TLS handshake took, if it arrived with one: from the accept or the end of its PROXY header. */
  readonly handshake?: number;
  /** Milliseconds it had waited, from the accept: a PROXY header and a handshake are part of that. */
  readonly waited: number;
}
/** A connection that was served is closed. */
export interface ClosedEvent extends Closed {
  readonly type: 'closed';
  /** The number of the connection, as in its other events. */
  readonly id: number;
  /** The address of the client. */
  readonly peer: Address;
}
/** A connection was refused, and not served. */
export interface RefusedEvent {
  readonly type: 'refused';
  /** The number of the connection, as in its other events. */
  readonly id: number;
  /** The address of the client. */
  readonly peer: Address;
  /** Why it was refused. */
  readonly reason: RefusalReason;
  /** Milliseconds it had waited. */
  readonly waited: number;
  /** How many connections its address may have, or are its share, if the reason is `per-address`. */
  readonly limit?: number | undefined;
  /** Which deadline was over, if the reason is `deadline`. */
  readonly deadline?: DeadlineName;
  /** Milliseconds that its TLS handshake took, if it had begun, until its end, its failure or its deadline. */
  readonly handshake?: number;
  /** What was wrong, if the reason is `tls`, `proxy` or `deadline`. */
  readonly error?: unknown;
}
/**
 * A handler failed, and its connection with it; or a function among the options failed, which `callback` names, and what it was
 * asked for is done as if it had given no answer. Without both: an accept failed, or a renewal of the certificate; an Observable has
 * emitted a limit that cannot be; or the port cannot park. Nothing else is affected.
 */
export interface FailedEvent {
  readonly type: 'failed';
  /** The number of the connection, if one failed. */
  readonly id?: number;
  /** The address of its client, if one failed. */
  readonly peer?: Address;
  /** The function among the options that failed, if it was one: its name. */
  readonly callback?: 'admit' | 'evict' | 'farewell' | 'lastCall';
  /** What was thrown, or what the promise was rejected with. */
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
/**
 * The limits allow more connections than the process may have descriptors, less 32 for other uses: so connections will be refused as
 * `exhausted`. Emitted when the port opens, and when a limit is raised beyond that.
 */
export interface OvercommittedEvent {
  readonly type: 'overcommitted';
  /** How many connections may be served at a time. */
  readonly concurrency: number;
  /** How many may wait besides. */
  readonly waiting: number;
  /** How many descriptors the process may have open. */
  readonly limit: number;
}
/** What a certificate of the server says about itself. */
export interface CertificateInfo {
  /** The names and IP addresses that it is valid for, as in its subject alternative name; a name may begin with `*.`. */
  readonly hosts: readonly string[];
  /** Such as `C=DE, O=Example, CN=example.org`. */
  readonly subject: string;
  /** The name of the authority, as `subject` is written. */
  readonly issuer: string;
  /** In hexadecimal digits. */
  readonly serialNumber: string;
  /** The SHA-256 of the certificate: pairs of hexadecimal digits, with colons between them. */
  readonly fingerprint256: string;
  /** In milliseconds since 1970. */
  readonly validFrom: number;
  /** In milliseconds since 1970. */
  readonly validTo: number;
}
/**
 * The certificates that new handshakes use: when the port opens, and after each renewal. Emitted again as a warning when a fifth
 * of the validity is left, a twentieth, and nothing.
 */
export interface CertificateEvent {
  readonly type: 'certificate';
  /** Those that could be read; a `pfx` cannot be. */
  readonly certificates: readonly CertificateInfo[];
  /** Milliseconds until the first of them ends; negative if one has ended, `Infinity` if none could be read. */
  readonly validFor: number;
  /** Whether a fifth of its validity is left, or less. */
  readonly isExpiring: boolean;
}
/**
 * A handler keeps frames in an operator without a bound, such as `concatMap`, `delay` or `mergeMap`, because its peer sends faster
 * than it works: use `exchange`, which reads no more than it can work on. Emitted once, and again when it has caught up and falls
 * behind a second time.
 */
export interface HoardingEvent {
  readonly type: 'hoarding';
  /** The number of the connection, as in its other events. */
  readonly id: number;
  /** The address of the client. */
  readonly peer: Address;
  /** Frames that the handler has received and not answered. */
  readonly frames: number;
  /** About how many bytes of input they are. */
  readonly bytes: number;
}
/** A connection has lasted for another interval of the option `report`. */
export interface ProgressEvent {
  readonly type: 'progress';
  /** The number of the connection, as in its other events. */
  readonly id: number;
  /** The address of the client. */
  readonly peer: Address;
  /** Bytes received so far. */
  readonly bytesIn: number;
  /** Bytes sent so far. */
  readonly bytesOut: number;
  /** Bytes that were written and have not been sent yet. */
  readonly unsent: number;
  /** Milliseconds since the accept. */
  readonly duration: number;
  /** How much of that is new since its last report. */
  readonly change: Pick<ProgressEvent, 'bytesIn' | 'bytesOut' | 'duration'>;
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
  | OvercommittedEvent
  | CertificateEvent
  | HoardingEvent
  | FailedEvent;

/** The events of `serve`. */
export type ServerEvent = ListenEvent | ProgressEvent | DrainingEvent | DrainedEvent;
