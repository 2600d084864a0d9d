import { readFileSync } from 'node:fs';

/**
 * How many descriptors this process may have open, from `/proc/self/limits`; `Infinity` where the system does not report it.
 *
 * Node does not report that descriptors have run out: libuv accepts each further connection and closes it at once, without an
 * error or an event.
 */
export function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    // Not Linux, or no /proc: the limit is unknown, and no connection is refused for it.
    return Number.POSITIVE_INFINITY;
  }
}
