/** Numbers as people read them. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });

/** @param {number} n */
export const count = (n) => whole.format(n);

const all = new Intl.NumberFormat('en-US', { maximumFractionDigits: 20 });

/** All digits. @param {number} n */
export const exact = (n) => all.format(n);

/**
 * Reads a number that was typed. People write `1.000` for a thousand and for one, and `1,5` for one and a half: what can be read in
 * two ways is refused.
 *
 * @param {string} typed
 * @param {boolean} isRate Whether it may have decimals.
 * @returns {number | 'Infinity' | 'share'}
 */
export function readNumber(typed, isRate) {
  const text = typed.trim();
  if (/^(infinity|∞)$/i.test(text)) return 'Infinity';
  // Of the limit of an address. For another one the server says that it must be a number.
  if (/^share$/i.test(text)) return 'share';
  const [, whole, decimals] = /^(\d+|[1-9]\d{0,2}(?:,\d{3})+)(\.\d+)?$/.exec(text) ?? [];
  // A zero or a comma in front, or another number of digits behind: then the point groups no thousands.
  const isClear = !/^[1-9]\d{0,2}\.\d{3}$/.test(text);
  if (whole !== undefined && (decimals === undefined || (isRate && isClear))) {
    const value = Number(text.replaceAll(',', ''));
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    throw new Error('That is too large. Infinity is for no limit.');
  }
  if (text === '') throw new Error('Type a number.');
  const how = isRate ? 'digits only, such as 1000, or with a point, such as 0.5' : 'digits only, such as 1000';
  throw new Error(`“${text}” is not clear. Write ${how}.`);
}

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
