import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a demo printed, and how it ended. */
export interface DemoResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A demo that is running. */
export interface Demo {
  readonly process: ChildProcess;
  /** Resolves when it has ended and all of its output has been read. */
  readonly done: Promise<DemoResult>;
}

/** Starts `demos/<name>.ts` with its output piped, and so without colours. It ends by itself, or the spec ends it. */
export function spawnDemo(name: string, args: readonly string[]): Demo {
  const script = fileURLToPath(new URL(`../../demos/${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const done = once(child, 'close').then(() => ({ code: child.exitCode, signal: child.signalCode, stdout, stderr }));
  return { process: child, done };
}
