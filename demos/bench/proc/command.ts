import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The first line that a command prints, or undefined if there is no such command. */
export async function firstLine(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run(command, [...args]);
    return stdout.split('\n')[0]?.trim() ?? '';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Runs a command that must succeed. The error of a failure contains the command's output. */
export async function succeed(command: string, args: readonly string[]): Promise<void> {
  try {
    await run(command, [...args]);
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`"${[command, ...args].join(' ')}" failed\n${stdout}${stderr}`, { cause: error });
  }
}
