import { readdirSync, readFileSync } from 'node:fs';

/** `/proc/<pid>/stat` counts in hundredths of a second on every Linux machine that we know of. */
const ticksPerSecond = 100;

/** The CPU time that a process has used up to a moment. */
export interface CpuReading {
  /** User and system time of the whole process, ended threads included, in microseconds and steps of 10 ms. */
  readonly total: number;
  /** Time of each live thread by its id, in microseconds; empty if the kernel has no `schedstat`. */
  readonly threads: ReadonlyMap<string, number>;
}

/** Reads the CPU time of a process from outside. */
export function readCpu(pid: number): CpuReading {
  return { total: parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')), threads: readThreads(pid) };
}

/**
 * The CPU time between two readings, in microseconds.
 *
 * The sum over the threads is exact to the microsecond, but lacks a thread that has ended in between. If one has, or if there is
 * no `schedstat`, the result is that of the whole process, in steps of 10 ms.
 */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  const ended = [...before.threads.keys()].some((id) => !after.threads.has(id));
  if (ended || after.threads.size === 0 || before.threads.size === 0) return after.total - before.total;
  return sum(after.threads) - sum(before.threads);
}

/** User and system time from the text of `/proc/<pid>/stat`, in microseconds. */
export function parseStat(text: string): number {
  // The second field is the name of the program in parentheses. The name may contain spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (!Number.isFinite(ticks))
    throw new Error(`Cannot read CPU time: "${text.trim()}" is not a line of /proc/<pid>/stat`);
  return (ticks * 1_000_000) / ticksPerSecond;
}

/** CPU time from the text of a `schedstat` file, in microseconds. */
export function parseSchedstat(text: string): number {
  const nanoseconds = Number(text.split(' ')[0]);
  if (text.trim() === '' || !Number.isFinite(nanoseconds)) {
    throw new Error(`Cannot read CPU time: "${text.trim()}" is not a line of a schedstat file`);
  }
  return nanoseconds / 1000;
}

function readThreads(pid: number): Map<string, number> {
  const threads = new Map<string, number>();
  for (const id of readdirSync(`/proc/${pid}/task`)) {
    const text = readIfThere(`/proc/${pid}/task/${id}/schedstat`);
    if (text !== undefined) threads.set(id, parseSchedstat(text));
  }
  return threads;
}

/**
 * Reads a file; `undefined` if it does not exist. A thread may end between listing and reading, and a kernel may be built
 * without `schedstat`.
 */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

function sum(threads: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const time of threads.values()) total += time;
  return total;
}
