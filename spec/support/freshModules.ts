import { vi } from 'vitest';

/**
 * Within `work`, an import loads a module of `lib` anew, with all that it imports. No other spec gets these instances: spec files
 * share a process and its modules, and one that was loaded while something was faked would behave so for all that follow.
 */
export async function withFreshModules<T>(work: () => Promise<T>): Promise<T> {
  vi.resetModules();
  try {
    return await work();
  } finally {
    vi.resetModules();
  }
}
