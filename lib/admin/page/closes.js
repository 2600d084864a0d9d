import { card, color, frameOf, keepWide, keyOf, until } from './charts.js';
import { setText } from './dom.js';
import { count } from './format.js';

/** Why connections were closed, as stacked bars. */

/** @type {any} */
const uPlot = Reflect.get(globalThis, 'uPlot');

/** Seconds that a bar stands for. */
const BAR = 10;

/** The reasons from the bottom of a bar to its top: first those of good order. */
const COLORS = /** @type {Record<string, string>} */ ({
  ended: '--close-ended',
  completed: '--close-completed',
  drained: '--close-drained',
  reset: '--close-reset',
  deadline: '--close-deadline',
  'slow-consumer': '--close-slow',
  evicted: '--close-evicted',
  aborted: '--close-aborted',
  failed: '--close-failed',
});
const OTHER = '--close-other';
const ORDER = Object.keys(COLORS);

/** @param {string} reason */
const rank = (reason) => (ORDER.includes(reason) ? ORDER.indexOf(reason) : ORDER.length);

const { plot, keys } = card('Closed in ten seconds, by reason');
/** @type {any} */
let chart;
/** @type {string[]} */
let reasons = [];
/** @type {{ key: HTMLElement, value: HTMLElement }[]} */
let shown = [];

/** Each reason's bars begin where those of the reasons below it end: the tall ones are drawn first. */
function draw() {
  chart?.destroy();
  const stack = [...reasons].reverse();
  const options = {
    ...frameOf(count, until),
    series: [
      {},
      ...stack.map((reason) => ({
        label: reason,
        stroke: () => color(COLORS[reason] ?? OTHER),
        fill: () => color(COLORS[reason] ?? OTHER),
        width: 0,
        paths: uPlot.paths.bars({ size: [0.7, 16] }),
        points: { show: false },
      })),
    ],
    cursor: { show: false },
  };
  chart = new uPlot(options, [[], ...stack.map(() => [])], plot);
  const width = Math.floor(plot.getBoundingClientRect().width);
  if (width > 0) chart.setSize({ width, height: chart.height });
}
draw();
keepWide(
  {
    get width() {
      return chart.width;
    },
    setSize: (/** @type {any} */ size) => chart.setSize(size),
  },
  plot,
);

/** @param {readonly any[]} samples @param {readonly [string, number][]} totals */
export function showCloses(samples, totals) {
  const found = totals.map(([reason]) => reason).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  if (found.join() !== reasons.join()) {
    reasons = found;
    shown = found.map((reason) => keyOf(COLORS[reason] ?? OTHER, reason));
    keys.replaceChildren(...shown.map(({ key }) => key));
    draw();
  }
  const first = Math.floor((until() - 300) / BAR);
  const bars = Math.floor(until() / BAR) - first + 1;
  const stacked = reasons.map(() => new Array(bars).fill(0));
  for (const { at, closes } of samples) {
    const bar = Math.floor(at / 1000 / BAR) - first;
    if (bar < 0 || bar >= bars) continue;
    let sum = 0;
    for (const [i, reason] of reasons.entries()) {
      sum += Object.hasOwn(closes, reason) ? closes[reason] : 0;
      const column = stacked[i];
      if (column) column[bar] += sum;
    }
  }
  const times = Array.from({ length: bars }, (_, i) => (first + i + 0.5) * BAR);
  chart.setData([times, ...stacked.reverse()]);
  const counted = new Map(totals);
  for (const [i, { value }] of shown.entries()) setText(value, count(counted.get(reasons[i] ?? '') ?? 0));
  const all = reasons.map((reason) => `${reason} ${count(counted.get(reason) ?? 0)}`).join(', ');
  plot.setAttribute('aria-label', `Closed since the start, by reason: ${all || 'none'}`);
}

export const redrawCloses = () => chart.redraw();
