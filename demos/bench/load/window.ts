import { type CpuReading, cpuBetween, readCpu } from '../proc/cpu.ts';
import type { Job } from './job.ts';

/** A measurement never takes longer than this many times the CPU time it aims at. */
const patience = 5;

/** What a finished window holds. */
export interface Span {
  readonly count: number;
  /** CPU time of the server, in microseconds. */
  readonly cpu: number;
  /** Wall time, in milliseconds. */
  readonly wall: number;
}

/**
 * Cuts a counted number of requests out of a running load: warm-up, a look at what a request costs, then the
 * measurement, from one reply to another with the load running on both sides of either. Nothing of the start
 * and nothing of the end is in the figure.
 */
export class Window {
  readonly #job: Job;
  readonly #opened = performance.now();
  #phase: 'warm' | 'look' | 'measure' | 'done' = 'warm';
  #count = 0;
  #target = Number.POSITIVE_INFINITY;
  #since: number;
  #before: CpuReading;
  #span: Span | undefined;

  constructor(job: Job) {
    this.#job = job;
    this.#since = this.#opened;
    this.#before = readCpu(job.pid);
  }

  get measuring(): boolean {
    return this.#phase === 'measure';
  }

  get span(): Span | undefined {
    return this.#span;
  }

  /** Counts `replies` more, at the time `now`; true once the last one of the measurement is in. */
  add(replies: number, now: number): boolean {
    this.#count += replies;
    if (this.#phase === 'measure') {
      if (this.#count >= this.#target) this.#finish();
    } else if (this.#phase === 'warm') {
      if (now - this.#opened >= this.#job.warm / 2) this.#enter('look');
    } else if (this.#phase === 'look' && now - this.#opened >= this.#job.warm && this.#count > 0) {
      this.#aim();
    }
    return this.#phase === 'done';
  }

  #enter(phase: 'look' | 'measure'): void {
    this.#phase = phase;
    this.#count = 0;
    this.#before = readCpu(this.#job.pid);
    this.#since = performance.now();
  }

  #seen(): Span {
    return {
      count: this.#count,
      cpu: cpuBetween(this.#before, readCpu(this.#job.pid)),
      wall: performance.now() - this.#since,
    };
  }

  /** Chooses the count that should use the wanted CPU time. */
  #aim(): void {
    this.#target = countFor(this.#seen(), this.#job.cpu);
    this.#enter('measure');
  }

  #finish(): void {
    this.#span = this.#seen();
    this.#phase = 'done';
  }
}

/** How many requests use `cpu` ms of the server's time, judging by what was seen, and do not take for ever. */
export function countFor(seen: Span, cpu: number): number {
  const byCpu = (cpu * 1000 * seen.count) / Math.max(seen.cpu, 1);
  const byWall = (cpu * patience * seen.count) / Math.max(seen.wall, 1);
  return Math.max(1, Math.ceil(Math.min(byCpu, byWall)));
}
