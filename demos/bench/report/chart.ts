import type { Case } from '../cases.ts';
import type { Peer } from '../peers.ts';
import type { Result } from '../rounds.ts';
import { median, show } from './numbers.ts';

const width = 880;
const gap = 40;
const panelWidth = (width - gap) / 2;
const labelWidth = 185;
const barHeight = 16;
const rowHeight = 24;
const headHeight = 46;
/** The peers whose bars are highlighted. */
const ours: readonly string[] = ['sluice', 'sluice-net', 'sluice-redis', 'idle'];

/** A bar of a panel. */
interface Bar {
  readonly peer: string;
  readonly title: string;
  readonly value: number;
}

/**
 * The medians as bars, a panel for each case; less is better. The file has no script; its colours follow the reader's light or
 * dark page.
 */
export function chart(cases: readonly Case[], results: readonly Result[], peers: readonly Peer[]): string {
  const panels = cases.flatMap((entry) => {
    const bars = barsOf(entry, results, peers);
    return bars.length === 0 ? [] : [{ entry, bars }];
  });
  let top = 44;
  let body = '';
  for (let index = 0; index < panels.length; index += 2) {
    const row = panels.slice(index, index + 2);
    body += row.map(({ entry, bars }, at) => panel(entry, bars, at * (panelWidth + gap), top)).join('');
    top += headHeight + Math.max(...row.map(({ bars }) => bars.length)) * rowHeight + 22;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img" aria-label="Cost of each server, by case; less is better">
${style}
<rect class="page" width="${width}" height="${top}" rx="8"/>
<text class="title" x="16" y="28">Cost of each server, medians; less is better</text>
${body}</svg>
`;
}

const style = `<style>
text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
.page { fill: #ffffff }
.title { font-size: 15px; font-weight: 600 }
.case { font-size: 13px; font-weight: 600 }
.unit { fill: #59636e }
.bar { fill: #b6bec8 }
.ours { fill: #1a7f6b }
.cut { stroke: #ffffff; stroke-width: 2.5; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.page { fill: #0d1117 }
.unit { fill: #9198a1 }
.bar { fill: #4a535e }
.ours { fill: #3fb89f }
.cut { stroke: #0d1117 }
}
</style>`;

function barsOf(entry: Case, results: readonly Result[], peers: readonly Peer[]): Bar[] {
  return results.flatMap((result) => {
    const value = median(result.samples.flatMap((sample) => (sample ? [sample.figure] : [])));
    if (result.case !== entry.name || value === undefined) return [];
    return [{ peer: result.peer, title: peers.find(({ name }) => name === result.peer)?.title ?? result.peer, value }];
  });
}

function panel(entry: Case, bars: readonly Bar[], left: number, top: number): string {
  const end = scaleEnd(bars.map(({ value }) => value));
  const room = panelWidth - labelWidth - 16 - 60;
  const rows = bars.map(({ peer, title, value }, index) => {
    const y = headHeight + index * rowHeight;
    const length = Math.max(1, (Math.min(Math.max(0, value), end) / end) * room);
    const x = 16 + labelWidth;
    const cut =
      value > end ? `<path class="cut" d="M${x + room - 26} ${y + barHeight + 2} l8 -20 m6 0 l-8 20"/>\n` : '';
    return `<text x="16" y="${y + 12}">${xml(title)}</text>
<rect class="bar${ours.includes(peer) ? ' ours' : ''}" x="${x}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>
${cut}<text x="${(x + length + 6).toFixed(1)}" y="${y + 12}">${show(value)}</text>
`;
  });
  return `<g transform="translate(${left} ${top})">
<text class="case" x="16" y="14">${xml(entry.title)}</text>
<text class="unit" x="16" y="32">${xml(entry.unit)}</text>
${rows.join('')}</g>
`;
}

/**
 * The value at which a panel ends: the largest, but at most five times the second smallest, because otherwise one slow server
 * would make all other bars too short. A bar beyond the end is drawn with a break.
 */
function scaleEnd(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const largest = sorted.at(-1) ?? 0;
  const second = sorted[1] ?? largest;
  return Math.max(Math.min(largest, second > 0 ? 5 * second : largest), Number.MIN_VALUE);
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
