import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

/** A cgroup that bounds the memory of what runs in it, the caches of the kernel for it included. */
export interface Cgroup {
  readonly path: string;
  /** The most that it has used, in bytes. */
  peak(): number;
  remove(): void;
}

/** Each with its root, the file of the limit, and that of the most that was used. */
const VERSIONS = [
  ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.max_usage_in_bytes'],
  ['/sys/fs/cgroup', 'memory.max', 'memory.peak'],
] as const;

/** Makes a cgroup. @returns Nothing where that is not allowed, as it is for root alone, or not there. */
export function cgroup(limit: number): Cgroup | undefined {
  for (const [root, max, most] of VERSIONS) {
    const path = `${root}/sluice-soak-${process.pid}`;
    try {
      mkdirSync(path);
      writeFileSync(`${path}/${max}`, String(limit));
    } catch {
      try {
        rmdirSync(path);
      } catch {
        // It was not made.
      }
      continue;
    }
    return {
      path,
      peak: () => Number(readFileSync(`${path}/${most}`, 'utf8')),
      remove: () => rmdirSync(path),
    };
  }
  return undefined;
}
