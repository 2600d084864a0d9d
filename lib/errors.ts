/** @internal As `instanceof`, but false where that throws: what was thrown may be a proxy that has been revoked. */
export function isA<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/** What can expire. Each deadline has its own name, so that a log says which one closed a connection. */
export type DeadlineName =
  | 'connect'
  | 'idle'
  | 'greeting'
  | 'frame'
  | 'total'
  | 'stall'
  | 'pace'
  | 'lifetime'
  | 'reply';

/** A deadline passed before what it waits for had happened. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
  /** Which deadline. */
  readonly deadline: DeadlineName;
  /** The time that was allowed, in milliseconds. */
  readonly after: number;

  constructor(deadline: DeadlineName, after: number) {
    super(`Cannot wait longer: the ${deadline} deadline of ${after} ms is over`);
    this.deadline = deadline;
    this.after = after;
  }
}

/** A frame grew past its limit before its end was seen, or announced that it would. */
export class FrameTooLongError extends RangeError {
  override readonly name = 'FrameTooLongError';
  /** The limit, in bytes. */
  readonly limit: number;
  /** What was announced or seen, in bytes: the announced length as it was sent, or the first length past the limit. */
  readonly length: number | bigint;

  constructor(limit: number, length: number | bigint) {
    super(`Cannot frame: a frame of ${length} bytes or more, at most ${limit} allowed`);
    this.limit = limit;
    this.length = length;
  }
}

/** The input ended in the middle of a frame. What had come of it is not handed on: half a request is not a request. */
export class FrameTruncatedError extends Error {
  override readonly name = 'FrameTruncatedError';
  /** How many bytes of the unfinished frame had come. */
  readonly length: number;

  constructor(length: number) {
    super(`Cannot frame input: it ended ${length} bytes into an unfinished frame`);
    this.length = length;
  }
}

/** A frame is not what its format allows: one that came in, or one that was to be sent. */
export class FrameInvalidError extends Error {
  override readonly name = 'FrameInvalidError';

  constructor(message: string, options?: ErrorOptions) {
    super(`Cannot frame: ${message}`, options);
  }
}

/**
 * A Connection was subscribed a second time. Its bytes pass once; share them with `share()` if two need them. A pipe that
 * subscribes once more after this error, as `retry()` does, fails the connection, and completes when that is closed.
 */
export class AlreadySubscribedError extends Error {
  override readonly name = 'AlreadySubscribedError';

  constructor(id: number, what = 'subscribed to') {
    super(`Cannot use connection ${id}: it has already been ${what}`);
  }
}

/** The peer reads more slowly than the handler writes, and more is unsent than allowed. */
export class SlowConsumerError extends RangeError {
  override readonly name = 'SlowConsumerError';
  /** The limit, in bytes. */
  readonly limit: number;
  /** What was unsent, in bytes. */
  readonly unsent: number;

  constructor(limit: number, unsent: number) {
    super(`Cannot queue more output: ${unsent} bytes are unsent, at most ${limit} allowed`);
    this.limit = limit;
    this.unsent = unsent;
  }
}

/** All connections together held more than the server's `budget`, and this one would have held its part for too long. */
export class EvictedError extends Error {
  override readonly name = 'EvictedError';
  /** What the connection held, in bytes. */
  readonly held: number;
  /** What all connections held together, in bytes. */
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

/** The connection went away, or had gone, before this could be done. */
export class ConnectionClosedError extends Error {
  override readonly name = 'ConnectionClosedError';
  /** Why it went: its close reason, or the reason it was refused for. */
  readonly reason: string;

  constructor(id: number, reason: string, options?: ErrorOptions) {
    super(`Cannot go on with connection ${id}: it is closed (${reason})`, options);
    this.reason = reason;
  }
}
