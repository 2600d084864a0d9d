import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Log } from './log.ts';

const running = new Set<ChildProcess>();

/** For `afterEach`: no program outlives its spec. */
export function endPrograms(): void {
  for (const child of running) child.kill('SIGKILL');
}

export interface Start {
  /** Handed to the program as JSON. */
  readonly options?: object;
  /** How many descriptors it may have. */
  readonly descriptors?: number;
  /** Descriptors of ours that it gets, from 3 on. */
  readonly inherit?: readonly number[];
}

/** A program of `spec/support/programs`, in a process of its own, with what it says as events. */
export class Program extends Log {
  readonly child: ChildProcess;
  /** What it said on the standard error, and lines that are no events. */
  said = '';
  /** How it ended: its exit code or the name of the signal. */
  exit: number | string | undefined;

  constructor(name: string, { options = {}, descriptors, inherit = [] }: Start = {}) {
    super();
    const file = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
    const node = [process.execPath, '--import', 'tsx', file, JSON.stringify(options)];
    const limited = descriptors === undefined ? [] : ['bash', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`];
    const [command = '', ...args] = [...limited, ...node];
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...inherit];
    this.child = spawn(command, args, { stdio });
    running.add(this.child);
    const { stdout, stderr } = this.child;
    if (stdout)
      createInterface(stdout).on('line', (line) =>
        line.startsWith('{') ? this.next(JSON.parse(line)) : this.#hear(`${line}\n`),
      );
    stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    this.child.on('close', (code, signal) => {
      running.delete(this.child);
      this.exit = code ?? signal ?? undefined;
      if (!this.types.includes('listening')) this.error(new Error(`${name} ended (${this.exit}): ${this.said}`));
      this.changed();
    });
  }

  #hear(text: string): void {
    this.said += text;
    this.changed();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for its end. */
  whenExited(within?: number): Promise<this> {
    return this.until(({ exit }) => exit !== undefined, 'the end of the process', within);
  }
}
