/** Numbers as people read them. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });

/** @param {number} n */
export const count = (n) => whole.format(n);

/** Three significant digits, but no fraction of a thousand. @param {number} n */
export const figure = (n) => (Math.abs(n) >= 100 ? whole.format(n) : fine.format(n));

const tenth = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

/** How often in a second. @param {number} n */
export const perSecond = (n) => (n < 10 ? tenth.format(n) : whole.format(n));

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** @param {number} n */
export function bytes(n) {
  const power = n < 1 ? 0 : Math.min(Math.floor(Math.log2(n) / 10), UNITS.length - 1);
  return `${figure(n / 1024 ** power)} ${UNITS[power]}`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** @param {number} ms */
export const delay = (ms) => `${figure(ms)} ms`;

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** @param {{ address?: string, port?: number } | undefined} end */
export function place(end) {
  const { address = 'unknown', port } = end ?? {};
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (port === undefined) return plain === '' ? 'unix socket' : plain;
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** @param {number} seconds Since 1970. */
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB');
