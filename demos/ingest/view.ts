import { interval, type Observable, type Subscription } from 'rxjs';
import { count, paint, rate, type StatusLine, type Traffic } from '../support/index.ts';
import type { Ingest } from './ingest.ts';
import { OTHERS, type Window } from './windows.ts';

/** Time between two draws, in milliseconds. */
const EVERY = 250;
/** Devices with a line of their own. */
const MOST = 12;
/** Devices whose last window is kept for display. */
const KEPT = 5000;
const COLUMNS = ['device', 'count', 'min', 'mean', 'max', 'late'];
const WIDTHS = [16, 8, 10, 10, 10, 6];

/** The sources of the view. */
export interface Viewed {
  readonly ingest: Ingest;
  readonly traffic: Traffic;
  /** Whether to show the windows, too. */
  readonly windows: boolean;
}

/** Shows the state of the server, and the last window of each device. `undefined` without a terminal. */
export function view(status: StatusLine, { ingest, traffic, windows }: Viewed): Subscription | undefined {
  if (!status.live) return undefined;
  let acknowledged = 0;
  let at = performance.now();
  let trouble: string | undefined;
  const latest = new Latest(windows ? ingest.windows : undefined);
  const drawing = interval(EVERY).subscribe(() => {
    const now = performance.now();
    const figures = [
      `${paint('bold', count(traffic.counters.active))} devices`,
      `${paint('bold', rate(ingest.acknowledged - acknowledged, now - at))} acknowledged`,
      `${count(ingest.acknowledged)} in all`,
    ];
    acknowledged = ingest.acknowledged;
    at = now;
    const waiting = trouble === undefined ? [] : [paint('yellow', `  devices have to wait: ${trouble}`)];
    const draining = traffic.draining === undefined ? [] : [paint('dim', '  draining, Ctrl-C again aborts')];
    const table = windows ? latest.table() : [];
    status.show([...table, `  ${figures.join('   ')}`, ...waiting, ...draining].join('\n'));
  });
  drawing.add(
    ingest.trouble.subscribe((reason) => {
      trouble = reason;
    }),
  );
  return drawing;
}

/** The last window of each device, of up to {@link KEPT} devices. Silent devices are dropped to make room. */
class Latest {
  readonly #windows = new Map<string, Window>();
  #newest = Number.NEGATIVE_INFINITY;
  /** Value of `#newest` at the last search for silent devices. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** The window of a device was left out, because there was no room. */
  #full = false;

  constructor(windows: Observable<Window> | undefined) {
    windows?.subscribe((window) => this.#add(window));
  }

  table(): string[] {
    this.#forget();
    const { size } = this.#windows;
    const rows = first(this.#windows.keys(), MOST).map((name) => row(this.#windows.get(name)));
    const more = `  … and ${count(size - MOST)} more devices${this.#full ? ', at least' : ''}`;
    this.#full &&= size >= KEPT;
    return ['', `  ${paint('bold', cells(COLUMNS))}`, ...rows, ...(size > MOST ? [paint('dim', more)] : []), ''];
  }

  #add(window: Window): void {
    const { device, start } = window;
    this.#newest = Math.max(this.#newest, start);
    if (this.#windows.size >= KEPT && this.#lookedAt < this.#newest) this.#forget();
    // The shared window is always kept, even when there is no room.
    if (this.#windows.size < KEPT || this.#windows.has(device) || device === OTHERS) this.#windows.set(device, window);
    else this.#full = true;
  }

  #forget(): void {
    this.#lookedAt = this.#newest;
    for (const [device, { start, width }] of this.#windows) {
      if (start < this.#newest - 10 * width) this.#windows.delete(device);
    }
  }
}

/** The first `many` of some names in natural order. The remaining names are not sorted. */
function first(names: Iterable<string>, many: number): string[] {
  const found: string[] = [];
  for (const name of names) {
    const last = found[many - 1];
    if (last !== undefined && byName.compare(name, last) >= 0) continue;
    const at = found.findIndex((other) => byName.compare(name, other) < 0);
    found.splice(at < 0 ? found.length : at, 0, name);
    found.length = Math.min(found.length, many);
  }
  return found;
}

const byName = new Intl.Collator('en', { numeric: true });

function row(window: Window | undefined): string {
  if (window === undefined) return '';
  const { device, min, mean, max, late } = window;
  const line = cells([device, count(window.count), figure(min), figure(mean), figure(max), count(late)]);
  return `  ${late > 0 ? paint('yellow', line) : line}`;
}

const cells = (texts: string[]): string =>
  texts.map((text, i) => (i === 0 ? clip(text, WIDTHS[0] ?? 0) : text.padStart(WIDTHS[i] ?? 0))).join('');

const clip = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width);

const figure = (value: number | null): string => (value === null ? '–' : String(Number(value.toPrecision(6))));
