import {
  asyncScheduler,
  type GroupedObservable,
  groupBy,
  last,
  map,
  mergeMap,
  type OperatorFunction,
  type SchedulerLike,
  scan,
  timer,
} from 'rxjs';
import type { Reading } from './reading.ts';

/** What one device measured in one span of time. */
export interface Window {
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
  /** How long a window stays open for readings that are on their way, after its end. @default the width */
  readonly lateness?: number;
  /** The clock that readings are compared with, and that closes windows. @default asyncScheduler */
  readonly clock?: SchedulerLike;
}

/** A reading, and the window it goes to. */
interface Placed {
  readonly reading: Reading;
  readonly start: number;
  readonly late: boolean;
}

/**
 * Sums up the readings of each device over windows of time.
 *
 * ```text
 * readings              --a1-a2-b7-|-a3----|-------     at the time of their arrival
 * windows({ width: 9 }) -----------------(A)(B)-----     A: count 2, min 1, max 2; B: count 1 …
 * ```
 *
 * A group lives as long as its window: until the window's end and `lateness` after it, and it emits then. A reading goes to
 * the window in which it was measured; if that is closed already, to the one of now, as late. If it was measured in the
 * future the device's clock is wrong, and it goes to the one of now. So the windows that a device has open are bounded,
 * and no clock but ours can hold one open.
 *
 * When the source completes, what has come of the open windows is emitted. The clock of this machine, if it is set back, and
 * a restart of the program may report a window in two parts.
 *
 * @param options See {@link WindowsOptions}.
 */
export function windows(options: WindowsOptions = {}): OperatorFunction<Reading, Window> {
  const { width = 1000, lateness = width, clock = asyncScheduler } = options;
  const startOf = (time: number) => Math.floor(time / width) * width;
  const closing = (start: number) => start + width + lateness;

  const place = (reading: Reading): Placed => {
    const now = clock.now();
    const start = startOf(Math.min(reading.at, now));
    const late = closing(start) <= now;
    return { reading, start: late ? startOf(now) : start, late };
  };
  const isOver = ({ key }: GroupedObservable<string, Placed>) => timer(closing(startOfKey(key)) - clock.now(), clock);

  return (readings) =>
    readings.pipe(
      map(place),
      groupBy(({ reading, start }) => keyOf(start, reading.device), { duration: isOver }),
      mergeMap((window) =>
        window.pipe(scan(add, empty(deviceOfKey(window.key), startOfKey(window.key), width)), last()),
      ),
    );
}

const keyOf = (start: number, device: string) => `${start} ${device}`;
const startOfKey = (key: string) => Number(key.slice(0, key.indexOf(' ')));
const deviceOfKey = (key: string) => key.slice(key.indexOf(' ') + 1);

const empty = (device: string, start: number, width: number): Window => ({
  device,
  start,
  width,
  count: 0,
  min: null,
  mean: null,
  max: null,
  late: 0,
});

function add(window: Window, { reading: { value }, late }: Placed): Window {
  if (late) return { ...window, late: window.late + 1 };
  const count = window.count + 1;
  return {
    ...window,
    count,
    min: Math.min(window.min ?? value, value),
    // Two quotients: the sum of all, and even the difference of two, could be too large for a number.
    mean: (window.mean ?? 0) + (value / count - (window.mean ?? 0) / count),
    max: Math.max(window.max ?? value, value),
  };
}
