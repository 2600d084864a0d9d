import { readFileSync } from 'node:fs';

/**
 * How many descriptors this process may have open, from `/proc/self/limits`; `Infinity` where the system does not say.
 *
 * Running out of them is invisible on Node: libuv accepts what comes and closes it at once, without a word.
 */
export function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    // Not Linux, or no /proc: nothing is known, and nothing refused.
    return Number.POSITIVE_INFINITY;
  }
}
