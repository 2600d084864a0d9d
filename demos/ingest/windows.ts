import { asyncScheduler, Observable, type OperatorFunction, type SchedulerLike, type Subscription } from 'rxjs';
import type { Reading } from './reading.ts';

/** The device name of the shared window, for devices without a window of their own. It is not a valid name of a device. */
export const OTHERS = '(others)';

/** The readings of one device in one span of time, summed up. */
export interface Window {
  /** The name of the device, or {@link OTHERS}. */
  readonly device: string;
  /** Its first millisecond, since 1970: a multiple of its width. */
  readonly start: number;
  /** In milliseconds. */
  readonly width: number;
  /** Readings that were measured in this span, and arrived in time. */
  readonly count: number;
  /** Of the readings in `count`; `null` if there are none. */
  readonly min: number | null;
  readonly mean: number | null;
  readonly max: number | null;
  /** Readings that arrived in this span, but belong to a window that was closed. No other figure includes them. */
  readonly late: number;
}

/** Times are in milliseconds. */
export interface WindowsOptions {
  /** Length of a window. @default 1000 */
  readonly width?: number;
  /** How long a window stays open after its end, for readings that arrive late; at most 1000 widths. @default the width */
  readonly lateness?: number;
  /** Open windows of all devices, at most. The readings of any more devices share one window. @default 100000 */
  readonly most?: number;
  /** The clock that readings are compared with, and that closes windows. @default asyncScheduler */
  readonly clock?: SchedulerLike;
}

/** Spans that may be open at once. Limited, because each has a timer, and a sum for the shared window. */
export const MOST_SPANS = 1000;
/** Windows that are emitted in one event-loop iteration. */
const SHARE = 500;

/**
 * Sums up the readings of each device in windows of time.
 *
 * ```text
 * readings              --a1-a2-b7-|-a3----|-------     at the time of their arrival
 * windows({ width: 9 }) -----------------(A)(B)-----     A: count 2, min 1, max 2; B: count 1 …
 * ```
 *
 * A window is open until its end and for `lateness` after it; then it is closed and emitted. A reading belongs to the window of
 * the time of its measurement. If that window is closed, the reading counts as late in the present window. A time in the future
 * means that the device's clock is wrong, and the reading belongs to the present window. So only our clock decides when a
 * window closes.
 *
 * Devices choose their names, so there may be any number of names. While `most` windows are open, readings of a device without
 * one are summed up in a shared window, {@link OTHERS}, for each span of time. No reading is left out.
 *
 * When the source completes, the open windows are emitted as they are. A window may be emitted in two parts if the clock of
 * this machine is set back, or if the program is restarted.
 *
 * @param options See {@link WindowsOptions}.
 * @throws RangeError If `lateness` is more than 1000 widths.
 */
export function windows(options: WindowsOptions = {}): OperatorFunction<Reading, Window> {
  const { width = 1000, lateness = width, most = 100_000, clock = asyncScheduler } = options;
  if (lateness > MOST_SPANS * width) {
    throw new RangeError(`Cannot make windows: lateness may be ${MOST_SPANS} widths at most, not ${lateness / width}`);
  }
  const startOf = (time: number) => Math.floor(time / width) * width;
  const closing = (start: number) => start + width + lateness;

  return (readings) =>
    new Observable((to) => {
      const spans = new Map<number, Span>();
      /** Spans that are closed, and whose windows are not all emitted. */
      const closed: Iterator<Window>[] = [];
      let open = 0;
      let emitting: Subscription | undefined;

      const emit = (share: number) => {
        for (let left = share; left > 0 && !to.closed; left--) {
          const next = closed[0]?.next();
          if (next === undefined) return;
          if (next.done) closed.shift();
          else to.next(next.value);
        }
        emitting?.unsubscribe();
        if (closed.length > 0 && !to.closed) emitting = clock.schedule(() => emit(SHARE), 0);
      };
      const close = (span: Span) => {
        spans.delete(span.start);
        span.timer?.unsubscribe();
        open -= span.sums.size;
        closed.push(span.windows(width));
        if (closed.length === 1) emit(SHARE);
      };
      const spanOf = (start: number, now: number) => {
        let span = spans.get(start);
        if (span === undefined) {
          span = new Span(start);
          spans.set(start, span);
          const opened = span;
          span.timer = clock.schedule(() => close(opened), closing(start) - now);
        }
        return span;
      };

      to.add(() => {
        emitting?.unsubscribe();
        for (const { timer } of spans.values()) timer?.unsubscribe();
        spans.clear();
      });
      return readings.subscribe({
        next: ({ device, at, value }) => {
          const now = clock.now();
          const start = startOf(Math.min(at, now));
          const late = closing(start) <= now;
          const span = spanOf(late ? startOf(now) : start, now);
          let sum = span.sums.get(device);
          if (sum === undefined && open < most) {
            sum = new Sum();
            span.sums.set(device, sum);
            open++;
          }
          sum ??= span.others ??= new Sum();
          if (late) sum.late++;
          else sum.add(value);
        },
        error: (error) => to.error(error),
        complete: () => {
          for (const span of spans.values()) close(span);
          emit(Number.POSITIVE_INFINITY);
          to.complete();
        },
      });
    });
}

/** The windows of one span of time. */
class Span {
  readonly start: number;
  readonly sums = new Map<string, Sum>();
  /** The sum of the shared window. */
  others: Sum | undefined;
  /** Closes the span. */
  timer: Subscription | undefined;

  constructor(start: number) {
    this.start = start;
  }

  *windows(width: number): Generator<Window, undefined> {
    for (const [device, sum] of this.sums) yield sum.window(device, this.start, width);
    if (this.others !== undefined) yield this.others.window(OTHERS, this.start, width);
  }
}

/** The sum of some readings. */
class Sum {
  late = 0;
  #count = 0;
  #min = Number.POSITIVE_INFINITY;
  #mean = 0;
  #max = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    const count = ++this.#count;
    this.#min = Math.min(this.#min, value);
    // Two quotients, because the sum of all values, and even the difference of two, can overflow.
    this.#mean += value / count - this.#mean / count;
    this.#max = Math.max(this.#max, value);
  }

  window(device: string, start: number, width: number): Window {
    const [count, some] = [this.#count, this.#count > 0];
    const [min, mean, max] = some ? [this.#min, this.#mean, this.#max] : [null, null, null];
    return { device, start, width, count, min, mean, max, late: this.late };
  }
}
