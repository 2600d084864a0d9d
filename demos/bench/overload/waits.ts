import { readFileSync } from 'node:fs';

/** A time in which a process was ready to run for so many milliseconds, and another had its core. In milliseconds since 1970. */
export type Wait = readonly [from: number, to: number, ms: number];

/** Milliseconds between two looks, and the shortest wait that is kept. */
const TICK = 5;
const SHORTEST = 0.5;

/** Milliseconds since 1970, by a clock that is never set back. */
export const epoch = () => performance.timeOrigin + performance.now();

/**
 * Milliseconds for which a thread was ready to run and another had its core, in all. 0 where the kernel does not report it.
 *
 * @param thread That of a process by its id; the calling one by default.
 */
export function waited(thread: number | 'thread-self' = 'thread-self'): number {
  try {
    return Number(readFileSync(`/proc/${thread}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}

/**
 * Records when this process waited for a core. What happens then is the doing of the machine. A stall for any other reason is not
 * recorded, because it is that of the program.
 */
export function recordWaits(): readonly Wait[] {
  const waits: Wait[] = [];
  let at = epoch();
  let before = waited();
  setInterval(() => {
    const now = epoch();
    const total = waited();
    if (total - before >= SHORTEST) waits.push([at, now, total - before]);
    at = now;
    before = total;
  }, TICK).unref();
  return waits;
}
