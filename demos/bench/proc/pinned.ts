import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { firstLine } from './command.ts';

/** The core of the servers, and that of the load. */
export const cores = { server: 0, load: 1 } as const;

const children = new Set<ChildProcess>();
// However the bench ends, it leaves no server behind.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

let pinning: Promise<boolean> | undefined;

/** Whether processes can be bound to a core here: there is a `taskset`, and more than one core. */
export function canPin(): Promise<boolean> {
  pinning ??= firstLine('taskset', ['--version']).then(
    (version) => version !== undefined && availableParallelism() > 1,
  );
  return pinning;
}

/**
 * Starts a program on one core, with as many file descriptors as it may have. Every step replaces the one before
 * it in the same process, so the child's id is the program's own.
 */
export async function spawnPinned(
  core: number,
  command: readonly string[],
  input: 'ignore' | 'pipe' = 'ignore',
): Promise<ChildProcess> {
  const pinned = (await canPin()) ? ['taskset', '-c', String(core), ...command] : command;
  const child = spawn('sh', ['-c', 'ulimit -n "$(ulimit -Hn)" && exec "$@"', 'sh', ...pinned], {
    stdio: [input, 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** What a child has said on standard error, for the message of its failure. */
export function complaints(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (more: string) => {
    text = (text + more).slice(-2000);
  });
  return () => text.trim();
}
