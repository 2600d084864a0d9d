import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import type { NodeProgram } from '../proc/node.ts';
import { canPin, cores } from '../proc/pinned.ts';

/** The machine, the releases of Node, and the cores of the processes, a line each. */
export async function describeMachine(node: NodeProgram): Promise<readonly string[]> {
  const all = cpus();
  return [
    `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${type()} ${release()}, somaxconn ${somaxconn()}`,
    `servers in JavaScript on Node ${node.version}, load on Node ${process.version}`,
    (await canPin())
      ? `servers on core ${cores.server}, load on core ${cores.load} (taskset)`
      : 'servers and load not bound to cores (no taskset, or one core)',
  ];
}

/** The kernel's limit of connections that a port queues until the server accepts them. A burst may exceed a small one. */
function somaxconn(): string {
  return readFileSync('/proc/sys/net/core/somaxconn', 'utf8').trim();
}
