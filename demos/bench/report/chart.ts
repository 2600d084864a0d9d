import type { Case } from '../cases.ts';
import type { Peer } from '../peers.ts';
import type { Result } from '../rounds.ts';
import { median, show } from './numbers.ts';

const width = 880;
const gap = 40;
const panelWidth = (width - gap) / 2;
const labelWidth = 165;
const barHeight = 16;
const rowHeight = 24;
const headHeight = 46;
/** The server that the chart is about. */
const ours = 'sluice';

/** A bar of a panel. */
interface Bar {
  readonly peer: string;
  readonly title: string;
  readonly value: number;
}

/**
 * The medians as bars, a panel for each case, less is better. One file, no script: the colours follow the
 * reader's light or dark page.
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
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img" aria-label="What servers need, by case; less is better">
${style}
<rect class="page" width="${width}" height="${top}" rx="8"/>
<text class="title" x="16" y="28">What a server needs, medians; less is better</text>
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
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.page { fill: #0d1117 }
.unit { fill: #9198a1 }
.bar { fill: #4a535e }
.ours { fill: #3fb89f }
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
  const longest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const room = panelWidth - labelWidth - 16 - 60;
  const rows = bars.map(({ peer, title, value }, index) => {
    const y = headHeight + index * rowHeight;
    const length = Math.max(1, (Math.max(0, value) / longest) * room);
    return `<text x="16" y="${y + 12}">${xml(title)}</text>
<rect class="bar${peer === ours ? ' ours' : ''}" x="${16 + labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>
<text x="${(16 + labelWidth + length + 6).toFixed(1)}" y="${y + 12}">${show(value)}</text>
`;
  });
  return `<g transform="translate(${left} ${top})">
<text class="case" x="16" y="14">${xml(entry.title)}</text>
<text class="unit" x="16" y="32">${xml(entry.unit)}</text>
${rows.join('')}</g>
`;
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
