import { cpus, release, totalmem, type } from 'node:os';
import { canPin, cores } from '../proc/pinned.ts';

/** The machine, and the cores of the processes, a line each. */
export async function describeMachine(): Promise<readonly string[]> {
  const all = cpus();
  return [
    `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${type()} ${release()}, Node ${process.version}`,
    (await canPin())
      ? `servers on core ${cores.server}, load on core ${cores.load} (taskset)`
      : 'servers and load not bound to cores (no taskset, or one core)',
  ];
}
