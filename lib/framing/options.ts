import type { SchedulerLike } from 'rxjs';

/** What every framing operator can be told about time. */
export interface FrameTimeOptions {
  /**
   * Milliseconds from the first byte of a frame to its end. Further bytes of the same frame buy no time, so a peer that
   * drips one byte a second does not hold a connection. `Infinity` for no limit.
   * @default the connection's own limit when the source is a connection, none elsewhere
   */
  readonly timeout?: number;
  /**
   * The clock that `timeout` is measured on.
   * @default monotonic time, or the virtual time of a running `TestScheduler`
   */
  readonly scheduler?: SchedulerLike;
}

/** What every framing operator can be told. */
export interface FrameOptions extends FrameTimeOptions {
  /** The longest frame that is accepted, in bytes, without its delimiter or header. */
  readonly maxLength?: number;
}

export const timeKeys = ['timeout', 'scheduler'] as const;
export const frameKeys = ['maxLength', ...timeKeys] as const;

/** Refuses options that nobody knows: a misspelt limit would be no limit. */
export function checkKeys(options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw new TypeError(`Unknown option '${key}': there are ${known.join(', ')}`);
  }
}

/** Refuses a length that is not a whole number of bytes, or more than one string or buffer can hold. */
export function checkLength(maxLength: number, most: number): void {
  if (!Number.isInteger(maxLength) || maxLength < 1 || maxLength > most) {
    throw new RangeError(`maxLength must be a whole number of bytes from 1 to ${most}, not ${maxLength}`);
  }
}

/** Refuses a time that has no meaning. */
export function checkTimeout(timeout: number | undefined): void {
  if (timeout !== undefined && !(timeout > 0)) {
    throw new RangeError(`timeout must be more than 0 milliseconds, not ${timeout}`);
  }
}

/** Refuses anything but one of the values an option can have. */
export function checkOneOf(name: string, value: unknown, known: readonly unknown[]): void {
  if (!known.includes(value)) throw new RangeError(`${name} must be one of ${known.join(', ')}, not ${value}`);
}
