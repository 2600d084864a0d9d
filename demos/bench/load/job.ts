/** What a server of the bench does with the bytes that it reads. */
export type BytesMode = 'echo' | 'lines' | 'once' | 'async' | 'length-prefixed' | 'discard' | 'source';

/** The modes of all servers, Redis included. `tls` is an echo over TLS. */
export type Mode = BytesMode | 'redis-set' | 'redis-get' | 'tls';

/** The pattern of a load. */
export type LoadKind = 'request-reply' | 'bulk-in' | 'bulk-out' | 'connect' | 'burst' | 'held' | 'idle';

/** How a short connection is closed: by a FIN of the client, by a FIN of the server, or by a RST of the client. */
export type Closing = 'client' | 'server' | 'reset';

/** The protocol on the wire: the frames of the mode, or those of NestJS's TCP transport. */
export type Protocol = 'plain' | 'nest';

/** The job of a load process, passed as JSON in its first argument. */
export interface Job {
  readonly kind: LoadKind;
  readonly mode: Mode;
  readonly protocol: Protocol;
  /** Bytes of a request in an echo. @default 64 */
  readonly size?: number | undefined;
  readonly port: number;
  /** Process id of the server, whose CPU and memory are read. */
  readonly pid: number;
  /** Connections open at once. */
  readonly connections: number;
  /** Requests kept in flight on each connection. */
  readonly inFlight: number;
  /** How each short connection is closed. */
  readonly closing: Closing;
  /** Wait before memory is read, in milliseconds. */
  readonly settle: number;
}

/** The result of one measurement. */
export interface Sample {
  /** The figure of the case: CPU microseconds per request or per MiB, or resident bytes per connection. */
  readonly figure: number;
  /** The number of requests, MiB, or connections. */
  readonly count: number;
  /** `count` per second of wall time; absent for idle connections. */
  readonly rate?: number;
  /** CPU milliseconds per second of wall time, where the load has a fixed rate. */
  readonly busy?: number;
  /** Median latency of a request, in microseconds. */
  readonly p50?: number;
  /** 99th percentile of the latency of a request, in microseconds. */
  readonly p99?: number;
}

/** A load that can run repeatedly. Between two measurements the server is idle. */
export interface Load {
  /** Runs the load for about `ms` milliseconds, and returns its cost. */
  measure(ms: number): Promise<Sample>;
}
