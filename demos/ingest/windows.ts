import { asyncScheduler, Observable, type OperatorFunction, type SchedulerLike, type Subscription } from 'rxjs';
import type { Reading } from './reading.ts';

/** Stands in for the name of devices that had no room of their own. No device can be called so. */
export const OTHERS = '(others)';

/** What one device measured in one span of time. */
export interface Window {
  /** Or {@link OTHERS}. */
  readonly device: string;
  /** Its first millisecond, since 1970: a multiple of its width. */
  readonly start: number;
  /** In milliseconds. */
  readonly width: number;
  /** How many readings were measured in it, and came in time. */
  readonly count: number;
  /** Of those; `null` if there are none. */
  readonly min: number | null;
  readonly mean: number | null;
  readonly max: number | null;
  /** How many came in it though they belong to one that was closed by then. They are in none of the other figures. */
  readonly late: number;
}

/** Times are in milliseconds. */
export interface WindowsOptions {
  /** How long a window is. @default 1000 */
  readonly width?: number;
  /** How long a window stays open for readings that are on their way, after its end; at most 1000 widths. @default the width */
  readonly lateness?: number;
  /** Windows that may be open, of all devices. The readings of further devices are summed up together. @default 100000 */
  readonly most?: number;
  /** The clock that readings are compared with, and that closes windows. @default asyncScheduler */
  readonly clock?: SchedulerLike;
}

/** Spans of time that are open at once: each costs a timer, and a sum for the others. */
export const MOST_SPANS = 1000;
/** Windows that are emitted in one turn of the event loop. */
const SHARE = 500;

/**
 * Sums up the readings of each device over windows of time.
 *
 * ```text
 * readings              --a1-a2-b7-|-a3----|-------     at the time of their arrival
 * windows({ width: 9 }) -----------------(A)(B)-----     A: count 2, min 1, max 2; B: count 1 …
 * ```
 *
 * A window is open until its end and for `lateness` after it; it is emitted then. A reading goes to the window in which it was
 * measured; if that is closed already, to the one of now, as late. If it was measured in the future the device's clock is
 * wrong, and it goes to the one of now. So no clock but ours can hold a window open.
 *
 * Names are the devices' to choose, so there may be any number of them. When `most` windows are open, readings of a device that
 * has none are summed up in one window of {@link OTHERS} for each span of time. No reading is left out.
 *
 * When the source completes, what has come of the open windows is emitted. The clock of this machine, if it is set back, and
 * a restart of the program may report a window in two parts.
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
      /** Closed, and not all emitted. */
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
  /** Of devices that had no room. */
  others: Sum | undefined;
  /** Closes it. */
  timer: Subscription | undefined;

  constructor(start: number) {
    this.start = start;
  }

  *windows(width: number): Generator<Window, undefined> {
    for (const [device, sum] of this.sums) yield sum.window(device, this.start, width);
    if (this.others !== undefined) yield this.others.window(OTHERS, this.start, width);
  }
}

/** Readings that are summed up. */
class Sum {
  late = 0;
  #count = 0;
  #min = Number.POSITIVE_INFINITY;
  #mean = 0;
  #max = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    const count = ++this.#count;
    this.#min = Math.min(this.#min, value);
    // Two quotients: the sum of all, and even the difference of two, could be too large for a number.
    this.#mean += value / count - this.#mean / count;
    this.#max = Math.max(this.#max, value);
  }

  window(device: string, start: number, width: number): Window {
    const [count, some] = [this.#count, this.#count > 0];
    const [min, mean, max] = some ? [this.#min, this.#mean, this.#max] : [null, null, null];
    return { device, start, width, count, min, mean, max, late: this.late };
  }
}
