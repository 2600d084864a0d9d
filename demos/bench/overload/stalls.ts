import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds between two samples. */
const RESOLUTION = 2;

export interface Delay {
  readonly p99: number;
  readonly max: number;
}

/** How late timers are in this process, in milliseconds: because of its own work, or because it waits for a core. */
export class Stalls {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION });

  constructor() {
    this.#histogram.enable();
  }

  /** The delays since the last call. */
  take(): Delay {
    const ms = (value: number) => Math.max(0, value / 1e6 - RESOLUTION);
    const taken = { p99: ms(this.#histogram.percentile(99)), max: ms(this.#histogram.max) };
    this.#histogram.reset();
    return taken;
  }
}
