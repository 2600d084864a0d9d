import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Log } from './log.ts';

const folder = new URL('../../demos/deploy/', import.meta.url);

/** A file of `demos/deploy`. */
export const deployFile = (path: string): string => readFileSync(deployPath(path), 'utf8');

/** The path of a file of `demos/deploy`. */
export const deployPath = (path: string): string => fileURLToPath(new URL(path, folder));

/** `demos/deploy/server.ts` with all that it needs, in one file, as the Dockerfile makes it. */
export async function bundledServer(): Promise<string> {
  const entryPoints = [deployPath('server.ts')];
  const [, js = ''] = /"--banner:js=(.*)"/.exec(deployFile('Dockerfile')) ?? [];
  const options = {
    banner: { js },
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    logLevel: 'silent',
  } as const;
  const { outputFiles } = await build({ entryPoints, ...options });
  return outputFiles[0]?.text ?? '';
}

/** The settings of a section of a unit: each with its values, in their order. */
export function settingsOf(unit: string, section: string): Map<string, string[]> {
  const settings = new Map<string, string[]>();
  let current = '';
  for (const line of unit.split('\n')) {
    const [, header] = /^\[(.*)\]$/.exec(line) ?? [];
    if (header !== undefined) current = header;
    const [, name, value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (current === section && name !== undefined) settings.set(name, [...(settings.get(name) ?? []), value]);
  }
  return settings;
}

const running = new Set<ChildProcess>();

/** For `afterEach`: kills the servers that still run. */
export function endServers(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** A command that runs the server, with the events that it logs. */
export class DeployedServer extends Log {
  readonly child: ChildProcess;
  /** What it printed on standard error. */
  errors = '';
  /** Its exit code, or the name of the signal that killed it. */
  exit: number | string | undefined;

  constructor([command = '', ...args]: readonly string[], env: Readonly<Record<string, string>> = {}) {
    super();
    const { PATH = '' } = process.env;
    this.child = spawn(command, args, { env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.child);
    if (this.child.stdout) createInterface(this.child.stdout).on('line', (line) => this.#read(line));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
      this.changed();
    });
    this.child.on('close', (code, signal) => {
      running.delete(this.child);
      this.exit = code ?? signal ?? undefined;
      if (this.of('listening').length === 0) this.error(new Error(`It did not listen: ${this.errors}`));
      this.changed();
    });
  }

  #read(line: string): void {
    const event = JSON.parse(line);
    // A log has no live counters.
    this.next(event.type === 'listening' ? { ...event, counters: this.counters } : event);
  }

  /** Waits until it has exited. @returns Its exit code, or the name of the signal that killed it. */
  async whenExited(): Promise<number | string | undefined> {
    return (await this.until(({ exit }) => exit !== undefined, 'the end of the process')).exit;
  }
}
