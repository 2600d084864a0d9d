import type { SchedulerLike } from 'rxjs';
import { type Checks, check, type Given, oneOf, schedulerLike, timeLimit, whole } from '../options.ts';

/** The options of every framing operator that concern time. */
export interface FrameTimeOptions {
  /**
   * Milliseconds from the first byte of a frame to its end. Further bytes of the same frame do not extend it, so a peer that
   * sends one byte a second cannot keep a connection open. `Infinity` for no limit.
   * @default the connection's own limit when the source is a connection, none elsewhere
   */
  readonly timeout?: number | undefined;
  /**
   * The clock that `timeout` is measured on.
   * @default monotonic time, or the virtual time of a running `TestScheduler`
   */
  readonly scheduler?: SchedulerLike | undefined;
}

/** The options of every framing operator of the library. */
export interface FrameOptions extends FrameTimeOptions {
  /** The longest frame that is accepted, in bytes, without its delimiter or header. @default that of the format */
  readonly maxLength?: number | undefined;
  /**
   * What to do with a frame that is longer than `maxLength`: error, or skip it. A skipped frame is read up to its end and
   * discarded as it arrives, at constant memory. In its place a `SkippedFrame` is emitted, so that the peer can get an answer.
   *
   * A frame that never ends is not skipped forever: its deadline and the minimum pace hold as for any other frame. Use `'skip'`
   * only with such a deadline, as `serve` has by default.
   * @default 'fail'
   */
  readonly tooLong?: 'fail' | 'skip' | undefined;
}

/** Options with which no frame is skipped: what they decode has no `SkippedFrame` among its types. */
export interface NoSkip {
  readonly tooLong?: 'fail' | undefined;
}

export const timeChecks: Checks = { timeout: timeLimit, scheduler: schedulerLike };

/** @param most The longest frame that can be represented, in bytes. */
export const frameChecks = (most: number): Checks => ({
  maxLength: whole(1, most),
  tooLong: oneOf('fail', 'skip'),
  ...timeChecks,
});

/** Validates options. An option that does not exist is an error, because a misspelt limit would be no limit. */
export const checkFraming = <T extends object>(options: T, checks: Checks): Given<T> =>
  check('frame input', options, checks);
