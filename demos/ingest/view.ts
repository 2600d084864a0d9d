import { interval, type Observable, type Subscription } from 'rxjs';
import { count, paint, rate, type StatusLine, type Traffic } from '../support/index.ts';
import type { Ingest } from './ingest.ts';
import type { Window } from './windows.ts';

/** How often it is drawn, in milliseconds. */
const EVERY = 250;
/** Devices that get a line of their own. */
const MOST = 12;
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

/** The last window of each device. Devices that have gone silent make room for others. */
class Latest {
  readonly #windows = new Map<string, Window>();

  constructor(windows: Observable<Window> | undefined) {
    windows?.subscribe((window) => this.#windows.set(window.device, window));
  }

  table(): string[] {
    const newest = Math.max(...[...this.#windows.values()].map(({ start }) => start));
    for (const [device, { start, width }] of this.#windows) {
      if (start < newest - 10 * width) this.#windows.delete(device);
    }
    const names = [...this.#windows.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const rows = names.slice(0, MOST).map((name) => row(this.#windows.get(name)));
    const more = names.length > MOST ? [paint('dim', `  … and ${count(names.length - MOST)} more devices`)] : [];
    return ['', `  ${paint('bold', cells(COLUMNS))}`, ...rows, ...more, ''];
  }
}

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
