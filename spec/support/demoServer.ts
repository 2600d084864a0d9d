import { createInterface } from 'node:readline';
import type { ServerEvent } from '../../lib/events.ts';
import { Log } from './log.ts';
import { type Demo, type DemoResult, spawnDemo } from './spawnDemo.ts';

const running = new Set<Demo>();

/** For `afterEach`: kills the demos that still run. */
export async function endDemos(): Promise<void> {
  for (const demo of running) demo.process.kill('SIGKILL');
  await Promise.all([...running].map((demo) => demo.done));
}

/** A demo server, on a port and in a process of its own, with the events that it logs. */
export class DemoServer extends Log {
  readonly #demo: Demo;
  /** How it ended; `undefined` while it runs. */
  result: DemoResult | undefined;

  constructor(name: string, args: readonly string[] = []) {
    super();
    this.#demo = spawnDemo(name, ['--port', '0', ...args]);
    running.add(this.#demo);
    const { stdout } = this.#demo.process;
    if (stdout) createInterface(stdout).on('line', (line) => this.#read(JSON.parse(line)));
    void this.#demo.done.then((result) => {
      running.delete(this.#demo);
      this.result = result;
      if (this.of('listening').length === 0) this.error(new Error(`${name} did not listen: ${result.stderr}`));
      this.changed();
    });
  }

  #read(event: ServerEvent): void {
    // A log has no live counters.
    this.next(event.type === 'listening' ? { ...event, counters: this.counters } : event);
  }

  kill(signal: NodeJS.Signals): void {
    this.#demo.process.kill(signal);
  }

  /**
   * Sends a second signal, after such a delay that it counts as one: signals within a quarter of a second count as one signal.
   * It is not sent a third time, because a process that is about to exit has no listeners any more, and the signal would kill
   * it.
   */
  insist(signal: NodeJS.Signals): void {
    const timer = setTimeout(() => this.kill(signal), 600);
    void this.#demo.done.then(() => clearTimeout(timer));
  }

  /** Waits until it has ended. */
  async whenEnded(within?: number): Promise<DemoResult> {
    await this.until(({ result }) => result !== undefined, 'the end of the demo', within);
    return this.#demo.done;
  }
}
