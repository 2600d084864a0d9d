import type { X509Certificate } from 'node:crypto';
import type { DeadlineName } from './errors.ts';
import type { ProxyHeader } from './proxyProtocol/header.ts';
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
 * - `tls`: the peer sent an alert, or what it sent is no TLS; `error` is a `TlsError` that names the alert.
 * - `slow-consumer`: the peer did not read what the handler wrote.
 * - `evicted`: all connections held more than the server's `budget`, and this one did not release its part, which is `held`; or,
 *   without `held`, the server was full, and closed this one in good order for a new one (`overflow: 'evict'`).
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
  | 'tls'
  | 'slow-consumer'
  | 'evicted'
  | 'aborted';

/** What a TLS handshake has negotiated. */
export interface Security {
  /** The version, such as `TLSv1.3`. */
  readonly protocol: string | undefined;
  /** The cipher suite by the name of IANA, such as `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
  /** The protocol that both sides agreed on by ALPN. */
  readonly alpn: string | undefined;
  /** The host name that the client asked for (SNI). */
  readonly servername: string | undefined;
  /** Whether it resumed an earlier session: then the peer's certificate was verified in that one. */
  readonly isResumed: boolean;
  /** The peer's certificate, if it has sent one. */
  readonly peerCertificate: X509Certificate | undefined;
  /** Whether the peer has a certificate that was verified. */
  readonly isVerified: boolean;
  /** Why not, by the name of OpenSSL, where the options let such a peer in. */
  readonly verifyError: string | undefined;
  /** Whether the input ended by a FIN without `close_notify`. Then bytes at its end may be missing. */
  readonly isTruncated: boolean;
}

/** The proxy through which a connection came: its own address, and what it says of the client. */
export interface Via extends Address {
  /** The header that the proxy sent. */
  readonly header: ProxyHeader;
}

/** How long the input of a connection was paused, in milliseconds, for each cause. Several causes may apply at once. */
export interface Paused {
  /** Milliseconds in which the peer did not read what was written. */
  readonly peer: number;
  /** Those in which the handler had as much in progress as its limits allow, or was tested for keeping frames (the event `hoarding`). */
  readonly handler: number;
  /** Those in which all connections together held more bytes than the server's `budget`. */
  readonly budget: number;
}

/** What an observer of the server can read of a connection, and do to it. A `Connection` is one. */
export interface ConnectionView {
  /** Unique among the connections of one listener: 1, 2, 3 … in the order of accept. */
  readonly id: number;
  /** The remote address. */
  readonly peer: Address;
  /** The proxy, if a PROXY header came first. Then `peer` is the client that it names. */
  readonly via: Via | undefined;
  /** What the TLS handshake negotiated; `undefined` without TLS. */
  readonly security: Security | undefined;
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
  /** Milliseconds since a byte last came or went, or work on a request last ended. */
  readonly idle: number;
  /** Whether the connection has been asked to finish. */
  readonly isDraining: boolean;
  /** Asks the connection to finish at its next frame boundary. `detail` says why, and is reported in `closed`. */
  drain(detail?: string): void;
  /** Ends the connection gracefully: flushes what was written, then sends a FIN. `detail` says why, as in {@link drain}. */
  end(detail?: string): void;
  /** Closes the connection at once with a RST: unsent bytes are dropped. `detail` says why, as in {@link drain}. */
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
  /** The text that was passed to `end()`, `abort()` or `drain()`, if the server called it. */
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

/** A set that is current whenever it is read. Items may be added and deleted while it is iterated over. */
export interface LiveSet<T> extends Iterable<T> {
  /** How many items it has now. */
  readonly size: number;
  /** Whether it has the item now. */
  has(item: T): boolean;
}
