import { cpuBetween, readCpu } from '../proc/cpu.ts';
import type { Sample } from './job.ts';
import type { Latencies } from './latency.ts';

/** A time in which a load is put on a server: from a server at rest to one that is at rest again, so every request counts. */
export class Window {
  readonly #pid: number;
  readonly #before;
  readonly #opened = performance.now();
  readonly #until: number;
  count = 0;

  constructor(pid: number, ms: number) {
    this.#pid = pid;
    this.#before = readCpu(pid);
    this.#until = this.#opened + ms;
  }

  /** Whether it is over at a moment; then nothing new is begun. */
  isOver(now = performance.now()): boolean {
    return now >= this.#until;
  }

  /** What it has come to, once the server is at rest. */
  close(latencies?: Latencies): Sample {
    const { count } = this;
    const wall = performance.now() - this.#opened;
    const sample = { figure: cpuBetween(this.#before, readCpu(this.#pid)) / count, count, rate: (count / wall) * 1000 };
    return latencies ? { ...sample, p50: latencies.percentile(0.5), p99: latencies.percentile(0.99) } : sample;
  }
}
