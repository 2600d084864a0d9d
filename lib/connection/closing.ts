import {
  ConnectionClosedError,
  DeadlineError,
  EvictedError,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  isA,
  SlowConsumerError,
  TlsError,
} from '../errors.ts';
import type { Closed, CloseReason } from '../events.ts';
import type { ByteSink } from './source.ts';

/** What a close reason means. */
interface Meaning {
  /** Whether it states that all that was written has been sent. A later failure replaces a reason that turned out to be false. */
  readonly flushed: boolean;
  /** Whose fault it is. A drain counts those of the server as aborted; those of the handler have a `failed` event. */
  readonly fault: 'none' | 'peer' | 'handler' | 'server';
}

/** Every close reason. */
export const closeReasons = {
  ended: { flushed: true, fault: 'none' },
  completed: { flushed: true, fault: 'none' },
  drained: { flushed: true, fault: 'none' },
  reset: { flushed: false, fault: 'peer' },
  failed: { flushed: false, fault: 'handler' },
  deadline: { flushed: false, fault: 'peer' },
  'frame-too-long': { flushed: false, fault: 'peer' },
  'frame-truncated': { flushed: false, fault: 'peer' },
  'frame-invalid': { flushed: false, fault: 'peer' },
  tls: { flushed: false, fault: 'peer' },
  'slow-consumer': { flushed: false, fault: 'peer' },
  evicted: { flushed: false, fault: 'server' },
  aborted: { flushed: false, fault: 'server' },
} as const satisfies Record<CloseReason, Meaning>;

/** The close reason for an error: the peer's fault where the error is one of ours, else the handler's. */
export function closeReasonOf(error: unknown): CloseReason {
  if (isA(error, DeadlineError)) {
    // A late reply is the handler's fault.
    if (error.deadline === 'reply') return 'failed';
    return error.deadline === 'stall' ? 'slow-consumer' : 'deadline';
  }
  if (isA(error, FrameTooLongError)) return 'frame-too-long';
  if (isA(error, FrameTruncatedError)) return 'frame-truncated';
  if (isA(error, FrameInvalidError)) return 'frame-invalid';
  if (isA(error, TlsError)) return 'tls';
  if (isA(error, EvictedError)) return 'evicted';
  if (isA(error, SlowConsumerError)) return 'slow-consumer';
  return 'failed';
}

/** The figures of a connection. */
type Figures = Pick<Closed, 'bytesIn' | 'bytesOut' | 'unsent' | 'dropped' | 'paused'>;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * Why one connection closes, and what is kept of it then. Most connections are open, and have none.
 *
 * The first reason wins, together with its error. Only a reason which states that everything was sent is replaced, if it turns out
 * to be false.
 */
export class Closing {
  /** What an operator found wrong with the input, whether or not it is the close reason. */
  inputError: unknown;
  /** What read the input when the connection was detached, and is to receive an error. */
  lastReader: Pick<ByteSink, 'error'> | undefined;
  /** The handler failed, whatever the close reason: a reply may be incomplete. */
  hasFailed = false;
  /** The connection is detached, and not all that take part have been notified. */
  mustNotify = false;
  /** The figures when the connection was detached: once the socket is closed, it has none. */
  final: Pick<Closed, 'bytesOut' | 'unsent' | 'paused'> | undefined;
  /** What `closed` emits, once the connection is closed. */
  closed: Closed | undefined;
  #reason: CloseReason | undefined;
  #error: unknown;
  #detail: string | undefined;

  get reason(): CloseReason | undefined {
    return this.#reason;
  }

  /** Sets the reason if there is none. */
  set(reason: CloseReason, error?: unknown): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#error = error;
  }

  /**
   * Sets the reason of an abort. It replaces a reason which states that everything was sent, unless that is so.
   *
   * @param isFlushed Whether all that was written has been sent, with our FIN.
   */
  abort(reason: CloseReason, error: unknown, isFlushed: boolean): void {
    const isBroken = this.#reason !== undefined && closeReasons[this.#reason].flushed && !isFlushed;
    if (this.#reason !== undefined && !isBroken) return;
    this.#reason = reason;
    this.#error = error;
  }

  /** Whether a connection that was asked to finish has done so: all replies are complete. */
  get hasFinished(): boolean {
    if (this.hasFailed) return false;
    if (this.#reason === 'drained') return true;
    const { inputError } = this;
    return this.#reason === 'deadline' && isA(inputError, DeadlineError) && inputError.deadline === 'lifetime';
  }

  /** What the server gave as its own words for the close. */
  explain(detail: string | undefined): void {
    this.#detail = detail ?? this.#detail;
  }

  /** The error for a subscriber that must not mistake this close for the end of the input. */
  errorFor(id: number, reason: CloseReason | 'half-closed'): ConnectionClosedError {
    return new ConnectionClosedError(id, this.#reason ?? reason, { cause: this.#error });
  }

  /** What `closed` emits. @param duration Milliseconds from the accept to the close. */
  record({ bytesIn, bytesOut, unsent, dropped, paused }: Figures, duration: number): Closed {
    const error = this.#error;
    const reason = this.#reason ?? 'aborted';
    const closed: Writable<Closed> = { reason, bytesIn, bytesOut, unsent, dropped, paused, duration };
    if (error !== undefined) closed.error = error;
    if (this.#detail !== undefined) closed.detail = this.#detail;
    // Only the reply deadline belongs to a handler that failed: any other deadline is that of another connection.
    if (isA(error, DeadlineError) && (reason !== 'failed' || error.deadline === 'reply'))
      closed.deadline = error.deadline;
    if (reason === 'evicted' && isA(error, EvictedError)) closed.held = error.held;
    return closed;
  }
}
