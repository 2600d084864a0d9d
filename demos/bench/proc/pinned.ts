import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { firstLine, succeed } from './command.ts';

/** The core of the servers, and the core of the load. */
export const cores = { server: 0, load: 1 } as const;

const children = new Set<ChildProcess>();
// No process outlives the bench, however it ends.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

let pinning: Promise<boolean> | undefined;

/** Whether processes can be bound to a core: there is a `taskset` command, and more than one core. */
export function canPin(): Promise<boolean> {
  pinning ??= firstLine('taskset', ['--version']).then(
    (version) => version !== undefined && availableParallelism() > 1,
  );
  return pinning;
}

/** Binds a running process, with all its threads, to a core; without one, to none. */
export async function pin(pid: number, core?: number): Promise<void> {
  if (await canPin()) await succeed('taskset', ['-acp', String(core ?? `0-${cpus().length - 1}`), String(pid)]);
}

/**
 * Starts a program on one core, with the highest limit of file descriptors that is allowed. Shell and taskset `exec` the next
 * program in the same process, so the child's id is that of the program.
 */
export async function spawnPinned(
  core: number,
  command: readonly string[],
  {
    input = 'ignore',
    env = {},
  }: { input?: 'ignore' | 'pipe'; env?: Readonly<Record<string, string>> | undefined } = {},
): Promise<ChildProcess> {
  const pinned = (await canPin()) ? ['taskset', '-c', String(core), ...command] : command;
  const child = spawn('sh', ['-c', 'ulimit -n "$(ulimit -Hn)" && exec "$@"', 'sh', ...pinned], {
    stdio: [input, 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** Collects the last lines of a child's standard error, for the message of its failure. */
export function errorOutput(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (more: string) => {
    text = (text + more).slice(-2000);
  });
  return () => text.trim();
}
