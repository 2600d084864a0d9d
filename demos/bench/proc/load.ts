import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Job, Load, Sample } from '../load/job.ts';
import { cores, errorOutput, spawnPinned } from './pinned.ts';

const program = fileURLToPath(new URL('../dist/demos/bench/load/main.js', import.meta.url));

/** A load in a process of its own, on a core of its own. */
export class LoadProcess implements Load {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;
  readonly #errors: () => string;
  readonly #samples: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error('Cannot read what the load prints');
    this.#child = child;
    this.#closed = once(child, 'close');
    this.#errors = errorOutput(child);
    this.#samples = createInterface(child.stdout)[Symbol.asyncIterator]();
    // Ignored, because the exit of the process reports its failure.
    child.stdin?.on('error', () => undefined);
  }

  static async start(job: Job): Promise<LoadProcess> {
    return new LoadProcess(
      await spawnPinned(cores.load, [process.execPath, program, JSON.stringify(job)], { input: 'pipe' }),
    );
  }

  async measure(ms: number): Promise<Sample> {
    this.#child.stdin?.write(`${ms}\n`);
    const { value, done } = await this.#samples.next();
    if (!done) return JSON.parse(value) as Sample;
    const [code] = await this.#closed;
    throw new Error(`The load ended with ${code}: ${this.#errors()}`);
  }

  /** Kills the process, and waits for its end. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }
}
