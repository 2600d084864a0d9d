import { cpuBetween, readCpu } from '../proc/cpu.ts';
import type { Sample } from './job.ts';
import type { Latencies } from './latency.ts';

/** A period of load. It begins and ends with the server idle, so that it contains all of the work for its requests. */
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

  /** Whether the period is over; then no new request is sent. */
  isOver(now = performance.now()): boolean {
    return now >= this.#until;
  }

  /** The result, once the server is idle. */
  close(latencies?: Latencies): Sample {
    const { count } = this;
    const wall = performance.now() - this.#opened;
    const sample = { figure: cpuBetween(this.#before, readCpu(this.#pid)) / count, count, rate: (count / wall) * 1000 };
    return latencies ? { ...sample, p50: latencies.percentile(0.5), p99: latencies.percentile(0.99) } : sample;
  }
}
