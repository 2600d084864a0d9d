import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Resident memory of a process, in bytes. */
export function readResident(pid: number): number {
  return parseResident(readRollup(pid) ?? readFileSync(`/proc/${pid}/status`, 'utf8'));
}

/** Resident bytes from the text of `/proc/<pid>/smaps_rollup` or `/proc/<pid>/status`. */
export function parseResident(text: string): number {
  const found = /^(?:Rss|VmRSS):\s+(\d+) kB$/m.exec(text);
  if (found === null) throw new Error('Cannot read resident memory: no Rss and no VmRSS line');
  return Number(found[1]) * 1024;
}

/**
 * Resident memory once it is stable. Waits `settle` ms, then until two readings half a second apart differ by less than half a
 * percent. It gives up after three times `settle` in all.
 */
export async function settledResident(pid: number, settle: number): Promise<number> {
  await pause(settle);
  const until = performance.now() + 2 * settle;
  let last = readResident(pid);
  while (performance.now() < until) {
    await pause(500);
    const now = readResident(pid);
    if (Math.abs(now - last) < last * 0.005) return now;
    last = now;
  }
  return last;
}

/**
 * `smaps_rollup` counts page by page; `status` may be some hundred kilobytes behind. `undefined` on older kernels, which have
 * only `status`.
 */
function readRollup(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EACCES') return undefined;
    throw error;
  }
}
