import { byId, make, setText } from './dom.js';
import { bytes, clock, count, delay, perSecond } from './format.js';

/** The charts of the last five minutes, by uPlot. */

/** @type {any} */
const uPlot = Reflect.get(globalThis, 'uPlot');

/** Seconds that a chart shows. */
const WIDTH = 300;
const HEIGHT = 132;
const SYNC = 'sluice';

/** Steps of an axis: of bytes powers of two, of time whole minutes. */
const POWERS = Array.from({ length: 44 }, (_, i) => 2 ** i);
const MINUTES = [60, 120, 300];
/** Of counts whole numbers. */
const WHOLE = Array.from({ length: 12 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

const style = () => getComputedStyle(document.documentElement);
/** @param {string} name */
export const color = (name) => style().getPropertyValue(name).trim();

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} color The name of a custom property.
 * @property {(now: any, before: any) => number | null} value From a sample and the one before it.
 * @property {boolean} [area] Whether it is filled.
 * @property {boolean} [dashed] A limit.
 */

/** @param {keyof any} what */
const rate = (what) => (/** @type {any} */ now, /** @type {any} */ before) =>
  before === undefined || now.at <= before.at ? null : ((now[what] - before[what]) * 1000) / (now.at - before.at);

/** @type {readonly { title: string, format: (n: number) => string, series: readonly Series[] }[]} */
const CHARTS = [
  {
    title: 'Connections',
    format: count,
    series: [
      { label: 'active', color: '--a', value: ({ active }) => active, area: true },
      { label: 'waiting', color: '--c', value: ({ waiting }) => waiting },
      { label: 'limit', color: '--limit', value: ({ concurrency }) => concurrency, dashed: true },
    ],
  },
  {
    title: 'Arrivals a second',
    format: perSecond,
    series: [
      { label: 'accepted', color: '--b', value: rate('accepted'), area: true },
      { label: 'refused', color: '--d', value: rate('refused') },
    ],
  },
  {
    title: 'Throughput a second',
    format: bytes,
    series: [
      { label: 'received', color: '--b', value: rate('bytesIn'), area: true },
      { label: 'sent', color: '--a', value: rate('bytesOut') },
    ],
  },
  {
    title: 'Event-loop delay',
    format: delay,
    series: [{ label: 'longest', color: '--c', value: ({ loopDelay }) => loopDelay, area: true }],
  },
];

/** Axes, cursor and size, the same for all charts. @param {(n: number) => string} format @param {() => number} until */
export function frameOf(format, until) {
  const font = '11px system-ui, sans-serif';
  const line = { stroke: () => color('--grid'), width: 1 };
  const axis = { stroke: () => color('--quiet'), font, grid: line, ticks: { show: false } };
  return {
    width: 320,
    height: HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { range: () => [until() - WIDTH, until()] },
      // A chart of nothing has a line at the bottom, not in the middle.
      y: {
        range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [
          0,
          Math.max(1, max * 1.08),
        ],
      },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 46,
        incrs: MINUTES,
        values: (/** @type {any} */ _u, /** @type {number[]} */ at) => at.map((s) => clock(s).slice(0, 5)),
      },
      {
        ...axis,
        size: 62,
        space: 34,
        ...(format === bytes && { incrs: POWERS }),
        ...(format === count && { incrs: WHOLE }),
        values: (/** @type {any} */ _u, /** @type {number[]} */ at) => at.map((n) => (n === null ? '' : format(n))),
      },
    ],
  };
}

/**
 * A card with a chart. The canvas is an image to a screen reader; its label has the figures of now.
 *
 * @param {string} title
 */
export function card(title) {
  const plot = make('div', { class: 'plot', role: 'img', 'aria-label': title });
  const keys = make('p', { class: 'keys', 'aria-hidden': 'true' });

  byId('charts', HTMLElement).append(make('div', { class: 'card chart' }, make('h3', {}, title), keys, plot));
  return { plot, keys };
}

/** @param {string} name @param {string} label */
export function keyOf(name, label) {
  const swatch = make('span', { class: 'swatch' });
  swatch.style.background = `var(${name})`;
  const value = make('b');
  return { key: make('span', { class: 'key' }, swatch, `${label} `, value), value };
}

/** Keeps a chart as wide as its place. @param {any} chart @param {HTMLElement} plot */
export function keepWide(chart, plot) {
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry?.contentRect.width ?? 0);
    if (width > 0 && width !== chart.width) chart.setSize({ width, height: HEIGHT });
  }).observe(plot);
}

let last = Date.now() / 1000;
export const until = () => last;

const charts = CHARTS.map(({ title, format, series }) => {
  const { plot, keys } = card(title);
  const shown = series.map(({ label, color: name }) => keyOf(name, label));
  keys.append(...shown.map(({ key }) => key));
  /** @param {any} u */
  const showAt = (u) => {
    const at = u.cursor.idx ?? u.data[0].length - 1;
    for (const [i, { value }] of shown.entries()) {
      const n = u.data[i + 1]?.[at];
      setText(value, n === null || n === undefined ? '–' : format(n));
    }
  };
  const options = {
    ...frameOf(format, until),
    series: [
      {},
      ...series.map(({ label, color: name, area, dashed }) => ({
        label,
        stroke: () => color(name),
        width: dashed ? 1 : 1.75,
        ...(dashed && { dash: [4, 4] }),
        ...(area && { fill: () => `${color(name)}22` }),
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { setCursor: [showAt], setData: [showAt] },
  };
  const chart = new uPlot(options, [[], ...series.map(() => [])], plot);
  keepWide(chart, plot);
  return { chart, plot, title, series, format };
});

/** @param {readonly any[]} samples */
export function showCharts(samples) {
  const newest = samples.at(-1);
  if (newest === undefined) return;
  last = newest.at / 1000;
  const times = samples.map(({ at }) => at / 1000);
  for (const { chart, plot, title, series, format } of charts) {
    const values = series.map(({ value }) => samples.map((now, i) => value(now, samples[i - 1])));
    chart.setData([times, ...values]);
    const now = series.map(({ label }, i) => `${label} ${format(values[i]?.at(-1) ?? 0)}`);
    plot.setAttribute('aria-label', `${title}: ${now.join(', ')}`);
  }
}

/** Draws again in other colours. */
export function redrawCharts() {
  for (const { chart } of charts) chart.redraw();
}
