/** The deadlines. Each has its own name, so that a log shows which one closed a connection. */
export type DeadlineName =
  | 'connect'
  | 'handshake'
  | 'proxy'
  | 'idle'
  | 'greeting'
  | 'frame'
  | 'total'
  | 'stall'
  | 'pace'
  | 'lifetime'
  | 'reply';

/** A deadline passed before the event that it waits for. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
  /** The name of the deadline. */
  readonly deadline: DeadlineName;
  /** How long the deadline allowed, in milliseconds. */
  readonly after: number;

  constructor(deadline: DeadlineName, after: number) {
    super(`Cannot wait longer: the ${deadline} deadline of ${after} ms is over`);
    this.deadline = deadline;
    this.after = after;
  }
}

/** A frame is longer than its limit, by its announced length or by the bytes received without its end. */
export class FrameTooLongError extends RangeError {
  override readonly name = 'FrameTooLongError';
  /** The limit, in bytes. */
  readonly limit: number;
  /** The announced length, or the first length past the limit that was received, in bytes. */
  readonly length: number | bigint;

  constructor(limit: number, length: number | bigint) {
    super(`Cannot frame: a frame of ${length} bytes or more, at most ${limit} allowed`);
    this.limit = limit;
    this.length = length;
  }
}

/** The input ended within a frame. The part that was received is not emitted, because half a request is not a request. */
export class FrameTruncatedError extends Error {
  override readonly name = 'FrameTruncatedError';
  /** How many bytes of the unfinished frame were received. */
  readonly length: number;

  constructor(length: number) {
    super(`Cannot frame input: it ended ${length} bytes into an unfinished frame`);
    this.length = length;
  }
}

/** A frame that was received, or that was to be sent, violates its format. */
export class FrameInvalidError extends Error {
  override readonly name = 'FrameInvalidError';

  constructor(message: string, options?: ErrorOptions) {
    super(`Cannot frame: ${message}`, options);
  }
}

/** What was received as a header of the PROXY protocol is not one, or its checksum is wrong. */
export class ProxyHeaderError extends Error {
  override readonly name = 'ProxyHeaderError';

  constructor(message: string) {
    super(`Cannot read the PROXY header: ${message}`);
  }
}

/**
 * A connection was subscribed to a second time. Its bytes are emitted once: if two subscribers need them, use `share()`. A pipe
 * that subscribes again after this error, as `retry()` does, fails the connection, and completes when the connection is closed.
 */
export class AlreadySubscribedError extends Error {
  override readonly name = 'AlreadySubscribedError';

  constructor(id: number, what = 'subscribed to') {
    super(`Cannot use connection ${id}: it has already been ${what}`);
  }
}

/** The peer reads more slowly than the handler writes, and the unsent bytes exceed their limit. */
export class SlowConsumerError extends RangeError {
  override readonly name = 'SlowConsumerError';
  /** The limit, in bytes. */
  readonly limit: number;
  /** How many bytes were unsent. */
  readonly unsent: number;

  constructor(limit: number, unsent: number) {
    super(`Cannot queue more output: ${unsent} bytes are unsent, at most ${limit} allowed`);
    this.limit = limit;
    this.unsent = unsent;
  }
}

/** A TLS handshake failed, or a TLS connection was aborted. `cause` is the error of `node:tls`. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
  /** Node's code, such as `ERR_SSL_WRONG_VERSION_NUMBER` or `CERT_HAS_EXPIRED`. */
  readonly code: string;
  /** The alert that ended the connection, by its name in RFC 8446, such as `unknown_ca`; `undefined` if none is known. */
  readonly alert: string | undefined;
  /** Which side sent the alert. */
  readonly sentBy: 'peer' | 'local' | undefined;

  constructor(
    message: string,
    { code, alert, sentBy, cause }: { code: string; alert?: string; sentBy?: 'peer' | 'local'; cause?: unknown },
  ) {
    super(`Cannot secure the connection: ${message}`, { cause });
    this.code = code;
    this.alert = alert;
    this.sentBy = sentBy;
  }
}

/** All connections together held more bytes than the server's `budget`, and this connection did not release its part in time. */
export class EvictedError extends Error {
  override readonly name = 'EvictedError';
  /** How many bytes the connection held. */
  readonly held: number;
  /** How many bytes all connections held together. */
  readonly total: number;
  /** The budget, in bytes. */
  readonly limit: number;

  constructor(held: number, total: number, limit: number) {
    super(`Cannot keep the connection: it holds ${held} bytes, and all together ${total} of the ${limit} allowed`);
    this.held = held;
    this.total = total;
    this.limit = limit;
  }
}

/** The connection was closed before the operation could complete, or before it began. */
export class ConnectionClosedError extends Error {
  override readonly name = 'ConnectionClosedError';
  /** Why it was closed: its close reason, or the reason of its refusal. */
  readonly reason: string;

  constructor(id: number, reason: string, options?: ErrorOptions) {
    super(`Cannot go on with connection ${id}: it is closed (${reason})`, options);
    this.reason = reason;
  }
}

/** A file of a certificate or its key cannot be read, is invalid, or does not belong to the other file. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  /** The path of the file, which is absolute. */
  readonly path: string;
  /** The code of Node's error, such as `ENOENT`; `undefined` if there is none. */
  readonly code: string | undefined;

  constructor(path: string, why: string, options?: ErrorOptions) {
    super(`Cannot use ${path}: ${why}`, options);
    this.path = path;
    const { code } = (options?.cause ?? {}) as { code?: unknown };
    this.code = typeof code === 'string' ? code : undefined;
  }
}

/**
 * Why no socket could be inherited.
 *
 * - `none`: none was handed over.
 * - `other-process`: they were handed over to another process, such as `npm`, which has started this one.
 * - `malformed`: the variables of the environment contradict each other.
 * - `unknown-name`: none has that name.
 * - `ambiguous`: several have that name.
 * - `not-a-socket`: the descriptor is closed, or is none of a socket.
 */
export type InheritedSocketReason =
  | 'none'
  | 'other-process'
  | 'malformed'
  | 'unknown-name'
  | 'ambiguous'
  | 'not-a-socket';

/** A listening socket that another process should have opened for this one, as systemd does, cannot be used. */
export class InheritedSocketError extends Error {
  override readonly name = 'InheritedSocketError';
  /** What is wrong. */
  readonly reason: InheritedSocketReason;
  /** The names of the sockets that were handed over, in the order of their descriptors; the first of these is 3. */
  readonly names: readonly string[];

  constructor(reason: InheritedSocketReason, why: string, names: readonly string[] = []) {
    super(`Cannot inherit a socket: ${why}`);
    this.reason = reason;
    this.names = names;
  }
}

/**
 * Like `instanceof`, but false where that throws: a thrown value may be a revoked proxy. For the library only: `index.ts` does
 * not export it.
 */
export function isA<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}
