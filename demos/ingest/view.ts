import { interval, type Observable, type Subscription } from 'rxjs';
import { count, paint, rate, type StatusLine, type Traffic } from '../support/index.ts';
import type { Ingest } from './ingest.ts';
import { OTHERS, type Window } from './windows.ts';

/** How often it is drawn, in milliseconds. */
const EVERY = 250;
/** Devices that get a line of their own. */
const MOST = 12;
/** Devices whose last window is kept to be shown. */
const KEPT = 5000;
const COLUMNS = ['device', 'count', 'min', 'mean', 'max', 'late'];
const WIDTHS = [16, 8, 10, 10, 10, 6];

/** What there is to draw. */
export interface Viewed {
  readonly ingest: Ingest;
  readonly traffic: Traffic;
  /** Whether to show the windows, too. */
  readonly windows: boolean;
}

/** Shows how the server is doing, and the last window of each device, where there is a terminal. */
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
    const waiting = trouble === undefined ? [] : [paint('yellow', `  devices are held back: ${trouble}`)];
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

/** The last window of each device, of some of many. Devices that have gone silent make room for others. */
class Latest {
  readonly #windows = new Map<string, Window>();
  #newest = Number.NEGATIVE_INFINITY;
  /** The newest when those that have gone silent were last looked for. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** A device has found no room. */
  #full = false;

  constructor(windows: Observable<Window> | undefined) {
    windows?.subscribe((window) => this.#see(window));
  }

  table(): string[] {
    this.#forget();
    const { size } = this.#windows;
    const rows = first(this.#windows.keys(), MOST).map((name) => row(this.#windows.get(name)));
    const more = `  … and ${count(size - MOST)} more devices${this.#full ? ', at least' : ''}`;
    this.#full &&= size >= KEPT;
    return ['', `  ${paint('bold', cells(COLUMNS))}`, ...rows, ...(size > MOST ? [paint('dim', more)] : []), ''];
  }

  #see(window: Window): void {
    const { device, start } = window;
    this.#newest = Math.max(this.#newest, start);
    if (this.#windows.size >= KEPT && this.#lookedAt < this.#newest) this.#forget();
    // What has no name of a device's is there always.
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

/** The first of some names, in the order in which a reader looks for them. The others are not sorted. */
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
