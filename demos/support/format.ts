import { styleText } from 'node:util';

/** A whole number with its thousands separated: `1,234,567`. */
export function count(n: number): string {
  return Math.round(n).toLocaleString('en-US');
}

/** A rate per second, for `n` events in `ms` milliseconds: `412,345/s`. */
export function rate(n: number, ms: number): string {
  return `${count(ms > 0 ? (n * 1000) / ms : 0)}/s`;
}

/** A size in binary units: `512 B`, `1.50 KiB`, `25.2 MiB`. */
export function bytes(n: number): string {
  if (n < 1024) return `${Math.round(n)} B`;
  const power = Math.min(Math.floor(Math.log2(n) / 10), 4);
  return `${figures(n / 1024 ** power)} ${['', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

/** A duration in milliseconds, shown in the unit that fits it: `85.0 µs`, `1.84 ms`, `12.3 s`, `2 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 0.9995) return `${figures(ms * 1000)} µs`;
  if (ms < 999.5) return `${figures(ms)} ms`;
  if (ms < 99_950) return `${figures(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A host and a port in the usual notation: `127.0.0.1:7000`, `[::1]:7000`. */
export function address(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Three significant figures: `1.84`, `12.3`, `850`. */
function figures(n: number): string {
  return n >= 99.95 ? n.toFixed(0) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2);
}

/** A style of `util.styleText`: `'bold'`, `'green'`, `['bold', 'red']` … */
export type Style = Parameters<typeof styleText>[0];

/** Styles text for standard output; unchanged where that is not a colour terminal, or `NO_COLOR` is set. */
export function paint(style: Style, text: string): string {
  return hasColors() ? styleText(style, text, { validateStream: false }) : text;
}

/** Whether standard output is a terminal with colours. */
export function hasColors(): boolean {
  return process.stdout.isTTY === true && process.stdout.hasColors();
}
