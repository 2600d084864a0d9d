/** What a server made for the bench can be asked to do with what it reads. */
export type BytesMode = 'echo' | 'lines' | 'async' | 'length-prefixed' | 'discard' | 'source';

/** What any server of the bench can be asked to do. */
export type Mode = BytesMode | 'redis-set' | 'redis-get';

/** How a load talks to its server. */
export type LoadKind = 'turns' | 'bulk-in' | 'bulk-out' | 'connect' | 'idle';

/** The language on the wire: the frames of the mode, or those of NestJS's TCP transport. */
export type Protocol = 'plain' | 'nest';

/** What the load process is told, as JSON in its first argument. */
export interface Job {
  readonly kind: LoadKind;
  readonly mode: Mode;
  readonly protocol: Protocol;
  readonly port: number;
  /** Process id of the server, whose CPU and memory are read. */
  readonly pid: number;
  /** Connections open at once. */
  readonly connections: number;
  /** Requests kept in flight on each connection. */
  readonly inFlight: number;
  /** Wait before memory is read, in milliseconds. */
  readonly settle: number;
}

/** What one measurement has found. */
export interface Sample {
  /** The figure of the case: CPU microseconds per request or per MiB, or resident bytes per connection. */
  readonly figure: number;
  /** What was counted: requests, MiB, or connections. */
  readonly count: number;
  /** Counted things per second of wall time; absent where nothing moves. */
  readonly rate?: number;
  /** Median latency of a request, in microseconds. */
  readonly p50?: number;
  /** 99th percentile of the latency of a request, in microseconds. */
  readonly p99?: number;
}

/** A load that is ready to be put on its server, again and again; in between it lets the server rest. */
export interface Load {
  /** Puts it on for about so many milliseconds, and says what that has cost. */
  measure(ms: number): Promise<Sample>;
}
