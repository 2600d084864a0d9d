import type { SchedulerLike } from 'rxjs';
import { type Checks, check, type Given, having, timeLimit, whole } from '../options.ts';

/** What every framing operator can be told about time. */
export interface FrameTimeOptions {
  /**
   * Milliseconds from the first byte of a frame to its end. Further bytes of the same frame buy no time, so a peer that
   * drips one byte a second does not hold a connection. `Infinity` for no limit.
   * @default the connection's own limit when the source is a connection, none elsewhere
   */
  readonly timeout?: number | undefined;
  /**
   * The clock that `timeout` is measured on.
   * @default monotonic time, or the virtual time of a running `TestScheduler`
   */
  readonly scheduler?: SchedulerLike | undefined;
}

/** What every framing operator can be told. */
export interface FrameOptions extends FrameTimeOptions {
  /** The longest frame that is accepted, in bytes, without its delimiter or header. */
  readonly maxLength?: number | undefined;
}

export const timeChecks: Checks = { timeout: timeLimit, scheduler: having('a SchedulerLike', 'now', 'schedule') };

/** @param most Bytes that one frame can have at all. */
export const frameChecks = (most: number): Checks => ({ maxLength: whole(1, most), ...timeChecks });

/** Reads options. Refuses those that do not exist, as a misspelt limit would be no limit, and values that mean nothing. */
export const checkFraming = <T extends object>(options: T, checks: Checks): Given<T> =>
  check('frame input', options, checks);
