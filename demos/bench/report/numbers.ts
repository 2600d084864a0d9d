/** The median of some numbers: the middle one, or the mean of the two in the middle; undefined if there are none. */
export function median(numbers: readonly number[]): number | undefined {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}

/** Shown in place of a missing number. */
export const none = '–';

/** A number with about three significant digits, thousands separated; a dash for none. */
export function show(number: number | undefined): string {
  if (number === undefined) return none;
  const size = Math.abs(number);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return number.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
