import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Job, Load, Sample } from '../load/job.ts';
import { complaints, cores, spawnPinned } from './pinned.ts';

const program = fileURLToPath(new URL('../dist/demos/bench/load/main.js', import.meta.url));

/** A load in a process of its own, on its own core. */
export class LoadProcess implements Load {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown[]>;
  readonly #said: () => string;
  readonly #samples: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error('Cannot read what the load prints');
    this.#child = child;
    this.#gone = once(child, 'close');
    this.#said = complaints(child);
    this.#samples = createInterface(child.stdout)[Symbol.asyncIterator]();
    // One that has died says so by its exit.
    child.stdin?.on('error', () => undefined);
  }

  static async start(job: Job): Promise<LoadProcess> {
    return new LoadProcess(await spawnPinned(cores.load, [process.execPath, program, JSON.stringify(job)], 'pipe'));
  }

  async measure(ms: number): Promise<Sample> {
    this.#child.stdin?.write(`${ms}\n`);
    const { value, done } = await this.#samples.next();
    if (!done) return JSON.parse(value) as Sample;
    const [code] = await this.#gone;
    throw new Error(`The load ended with ${code}: ${this.#said()}`);
  }

  /** Ends it at once and waits until it is gone. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
