import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

/** A cgroup that limits the memory of its processes, including the caches of the kernel for them. */
export interface Cgroup {
  readonly path: string;
  /** The maximum of its memory, in bytes. */
  peak(): number;
  remove(): void;
}

/** The two versions of cgroups, each with its root, the file of the limit, and the file of the maximum. */
const VERSIONS = [
  ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.max_usage_in_bytes'],
  ['/sys/fs/cgroup', 'memory.max', 'memory.peak'],
] as const;

/** Makes a cgroup. @returns `undefined` if that is not allowed, which needs root, or if there are no cgroups. */
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
        // The directory was not made.
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
