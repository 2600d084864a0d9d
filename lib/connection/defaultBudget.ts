import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';

/** No default is below this, in bytes: it is what one connection may hold unsent. */
const MIN_BUDGET = 1024 * 1024;

/** What a process reports of its memory, in bytes. Engines other than Node may not report it. */
type Memory = Partial<Pick<NodeJS.Process, 'constrainedMemory' | 'availableMemory'>>;

/**
 * A quarter of the memory that there is, in bytes: of V8's heap limit, and where the process is constrained (a cgroup), of that
 * constraint and of what is left of it now. As much again is used by objects before the garbage is collected.
 */
export function defaultBudget(memory: Memory = process): number {
  const heap = getHeapStatistics().heap_size_limit;
  const constrained = memory.constrainedMemory?.() ?? 0;
  // Without a constraint Node reports 0, or nothing, or the kernel's value for "unlimited".
  const isConstrained = constrained > 0 && constrained < totalmem();
  const most = isConstrained ? Math.min(heap, constrained, memory.availableMemory?.() ?? constrained) : heap;
  return Math.max(MIN_BUDGET, Math.floor(most / 4));
}
