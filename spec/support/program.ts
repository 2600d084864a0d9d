import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Log } from './log.ts';

/** What the programs that serve need if the specs run over TLS. */
const overTls = process.env.SLUICE_TLS === '1' ? await import('./overTls/certificate.ts') : undefined;
const secured = overTls && { tls: overTls.serverOptions };

const running = new Set<ChildProcess>();

/** For `afterEach`: kills the programs that still run. */
export function endPrograms(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** The programs whose options are those of `serve`. */
const SERVERS = ['server', 'inherited', 'thread', 'worker'];

export interface Start {
  /** Passed to the program as JSON. */
  readonly options?: object;
  /** How many descriptors it may have open. */
  readonly descriptors?: number;
  /** Descriptors of this process that it inherits, as 3 and following. */
  readonly inherit?: readonly number[];
  /** The names of these descriptors, which the program is told as systemd does it: in the variables `LISTEN_…`. */
  readonly names?: readonly string[];
}

/** A program of `spec/support/programs` in a process of its own, with the events that it prints. */
export class Program extends Log {
  readonly child: ChildProcess;
  /** What it printed on standard error, and the lines that are no events. */
  output = '';
  /** Its exit code, or the name of the signal that killed it. */
  exit: number | string | undefined;

  constructor(name: string, { options: given, descriptors, inherit = [], names }: Start = {}) {
    super();
    const options = { ...(SERVERS.includes(name) && secured), ...given };
    const file = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
    const node = [process.execPath, '--import', 'tsx', file, JSON.stringify(options)];
    const limited = descriptors === undefined ? [] : ['bash', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`];
    const [command = '', ...args] = [...limited, ...(names === undefined ? [] : handingOver(names)), ...node];
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...inherit];
    this.child = spawn(command, args, { stdio });
    running.add(this.child);
    const { stdout, stderr } = this.child;
    if (stdout)
      createInterface(stdout).on('line', (line) =>
        line.startsWith('{') ? this.next(JSON.parse(line)) : this.#read(`${line}\n`),
      );
    stderr?.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    this.child.on('close', (code, signal) => {
      running.delete(this.child);
      this.exit = code ?? signal ?? undefined;
      if (!this.types.includes('listening')) this.error(new Error(`${name} ended (${this.exit}): ${this.output}`));
      this.changed();
    });
  }

  #read(text: string): void {
    this.output += text;
    this.changed();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits until it has exited. */
  whenExited(within?: number): Promise<this> {
    return this.until(({ exit }) => exit !== undefined, 'the end of the process', within);
  }
}

/** A command that hands over descriptors to the command behind it, which is the same process. */
function handingOver(names: readonly string[]): string[] {
  const variables = `LISTEN_PID=$$ LISTEN_FDS=${names.length} LISTEN_FDNAMES=${names.join(':')}`;
  return ['bash', '-c', `${variables} exec "$0" "$@"`];
}
