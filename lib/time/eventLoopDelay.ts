import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

/** Milliseconds between two looks at the delay. */
const RESOLUTION = 20;

/** How long callbacks had to wait for the event loop, in seconds. */
export interface Delays {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** How long the event loop worked and waited, in seconds since the process began. */
export interface LoopTime {
  readonly active: number;
  readonly idle: number;
}

/**
 * Measures how late the event loop is. One for each registry, meter or admin port, and not for each server, because it costs a timer in
 * the process. It does not keep the process alive.
 */
export class EventLoopDelay {
  readonly #make: typeof monitorEventLoopDelay;
  #monitor: ReturnType<typeof monitorEventLoopDelay> | undefined;

  /** @param make Makes what measures. */
  constructor(make: typeof monitorEventLoopDelay = monitorEventLoopDelay) {
    this.#make = make;
  }

  start(): void {
    if (this.#monitor) return;
    try {
      this.#monitor = this.#make({ resolution: RESOLUTION });
      this.#monitor.enable();
    } catch {
      // Engines other than Node may not have it.
      this.#monitor = undefined;
    }
  }

  stop(): void {
    this.#monitor?.disable();
    this.#monitor = undefined;
  }

  /** The delays since the last call; `undefined` if nothing was measured. */
  take(): Delays | undefined {
    const monitor = this.#monitor;
    if (monitor === undefined || monitor.count === 0) return undefined;
    const delays = {
      p50: delay(monitor.percentile(50)),
      p99: delay(monitor.percentile(99)),
      max: delay(monitor.max),
    };
    monitor.reset();
    return delays;
  }

  get time(): LoopTime {
    const { active, idle } = performance.eventLoopUtilization();
    return { active: active / 1e3, idle: idle / 1e3 };
  }
}

/** Node measures from one look to the next, in nanoseconds. */
const delay = (interval: number) => Math.max(0, interval / 1e6 - RESOLUTION) / 1e3;
