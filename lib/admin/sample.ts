import { EventLoopDelay } from '../time/eventLoopDelay.ts';
import type { Monitor } from './monitor.ts';

/** The figures of a server at one moment. Those without "now" grow from the start on: a rate is the difference of two samples. */
export interface Sample {
  /** In milliseconds since 1970. It never goes back, even if the system clock is set. */
  readonly at: number;
  /** Connections that are being served, or closing, now. */
  readonly active: number;
  /** Connections that wait now. */
  readonly waiting: number;
  /** How many may be served at a time now; `null` if only operators decide that, or if there is no limit. */
  readonly concurrency: number | null;
  /** How many may wait now. */
  readonly waitingMax: number | null;
  /** Connections that were accepted. */
  readonly accepted: number;
  /** Connections that were served and are closed. */
  readonly closed: number;
  /** Connections that were refused. */
  readonly refused: number;
  /** Bytes that were received. */
  readonly bytesIn: number;
  /** Bytes that were sent. */
  readonly bytesOut: number;
  /** The longest delay of the event loop since the sample before, in milliseconds. */
  readonly loopDelay: number;
  /** How many connections were closed for each reason since the sample before; reasons with none are absent. */
  readonly closes: Readonly<Record<string, number>>;
  /** How many were refused for each reason since the sample before, likewise. */
  readonly refusals: Readonly<Record<string, number>>;
}

/** How long samples are kept: enough for the page to have its charts at once. */
const SAMPLES = 300;

/** Milliseconds that two samples are apart at least. */
const SHORT = 500;

/** How often each reason was given. */
interface Counted {
  readonly closes: ReadonlyMap<string, number>;
  readonly refusals: ReadonlyMap<string, number>;
}
const NOTHING: Counted = { closes: new Map(), refusals: new Map() };

/** Takes samples of a server, and keeps those of the last five minutes. */
export class Sampler {
  readonly #monitor: Monitor;
  readonly #now: () => number;
  readonly #delay = new EventLoopDelay();
  readonly #samples: Sample[] = [];
  /** What was counted at the last sample, and at the one before it. */
  #counted = NOTHING;
  #before = NOTHING;

  constructor(monitor: Monitor, now: () => number) {
    this.#monitor = monitor;
    this.#now = now;
    this.#delay.start();
  }

  /** The oldest first. */
  get history(): readonly Sample[] {
    return this.#samples;
  }

  /**
   * Takes a sample. It replaces the last one if that is of less than half a second ago, because its rates
   * would be of no time.
   *
   * @throws What a socket of the user's transport throws.
   */
  take(): Sample {
    const { counters, closes, refusals, listening } = this.#monitor;
    const { active, waiting, accepted, closed, refused } = counters;
    // The only part that may throw, with a user's transport: nothing is changed before.
    const bytes = this.#monitor.bytes();
    const at = Math.round(this.#now());
    const last = this.#samples.at(-1);
    const replaced = last !== undefined && at - last.at < SHORT ? last : undefined;
    if (replaced === undefined) this.#before = this.#counted;
    else this.#samples.pop();
    const sample: Sample = {
      at,
      active,
      waiting,
      concurrency: finite(listening?.limits.concurrency),
      waitingMax: finite(listening?.limits.waiting),
      accepted,
      closed,
      refused,
      ...bytes,
      loopDelay: Math.max(replaced?.loopDelay ?? 0, this.#longestDelay()),
      closes: increase(this.#before.closes, closes),
      refusals: increase(this.#before.refusals, refusals),
    };
    this.#counted = { closes: new Map(closes), refusals: new Map(refusals) };
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    return sample;
  }

  stop(): void {
    this.#delay.stop();
  }

  /** In milliseconds, with two decimals. */
  #longestDelay(): number {
    const { max } = this.#delay.take() ?? { max: 0 };
    return Math.round(max * 1e5) / 100;
  }
}

/** JSON has no Infinity. */
const finite = (limit: number | undefined): number | null =>
  limit === undefined || limit === Number.POSITIVE_INFINITY ? null : limit;

function increase(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): Record<string, number> {
  const grown: Record<string, number> = {};
  for (const [reason, count] of now) {
    const more = count - (before.get(reason) ?? 0);
    // Defined, not assigned: a reason is any text, and `__proto__` is one.
    if (more > 0) Object.defineProperty(grown, reason, { value: more, enumerable: true });
  }
  return grown;
}
