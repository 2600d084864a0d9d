import type { ServerResponse } from 'node:http';
import type { ConnectionRow } from '../table.ts';
import { limitRows } from './actions.ts';
import { addressesOf, type Query, viewOf } from './connectionsView.ts';
import type { Monitor } from './monitor.ts';
import type { AdminOptions } from './options.ts';
import { Sampler } from './sample.ts';
import { frame, Viewers } from './viewers.ts';

/**
 * What live pages receive: at first an event `start`, with the samples of the last minutes, and then a `tick` each second and after
 * each action. Samples are taken all the time, which costs a few additions for each connection; rows are made only while
 * a page is open.
 */
export class LivePages {
  readonly #monitor: Monitor;
  readonly #given: Pick<AdminOptions, 'limits' | 'drain'>;
  readonly #viewers: Viewers<Query>;
  readonly #sampler: Sampler;
  readonly #now: () => number;
  readonly #failed: (error: unknown) => void;
  readonly #startedAt: number;

  /**
   * @param most How many pages may be open.
   * @param now The time, in milliseconds since 1970.
   * @param failed Called with what the figures of a user's transport threw: they are read each second, by a timer.
   */
  constructor(
    monitor: Monitor,
    given: Pick<AdminOptions, 'limits' | 'drain'>,
    most: number,
    now: () => number,
    failed: (error: unknown) => void,
  ) {
    this.#monitor = monitor;
    this.#given = given;
    this.#viewers = new Viewers(most, now);
    this.#sampler = new Sampler(monitor, now);
    this.#now = now;
    this.#failed = failed;
    this.#startedAt = Math.round(now());
  }

  get isFull(): boolean {
    return this.#viewers.isFull;
  }

  /** Adds a live page. */
  show(to: ServerResponse, query: Query): void {
    const start = {
      startedAt: this.#startedAt,
      pid: process.pid,
      node: process.version,
      history: this.#sampler.history,
    };
    to.write(frame('start', JSON.stringify(start)));
    this.#viewers.add(to, query);
    const rows = this.#rows();
    to.write(frame('tick', this.#tick(rows, addressesOf(rows), query)));
  }

  /** Takes a sample, and shows what has changed. */
  tick(): void {
    this.#attempt(() => this.#sampler.take());
    this.refresh();
  }

  /** Shows what has changed, without a new sample. */
  refresh(): void {
    if (this.#viewers.size === 0) return;
    this.#attempt(() => {
      const rows = this.#rows();
      const addresses = addressesOf(rows);
      this.#viewers.send('tick', (query) => this.#tick(rows, addresses, query));
    });
  }

  /** The server has ended: the last figures, and the end of all streams. */
  end(): void {
    this.tick();
    this.#viewers.end();
    this.stop();
  }

  stop(): void {
    this.#sampler.stop();
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failed(error);
    }
  }

  #rows(): readonly ConnectionRow[] {
    return this.#monitor.connections?.rows() ?? [];
  }

  #tick(rows: readonly ConnectionRow[], addresses: ReturnType<typeof addressesOf>, query: Query): string {
    const { phase, drain, closes, refusals, listening } = this.#monitor;
    return JSON.stringify({
      now: Math.round(this.#now()),
      phase,
      address: listening?.address,
      isParked: listening?.limits.isParked ?? false,
      sample: this.#sampler.history.at(-1),
      // Pairs, because a reason is any text.
      closes: [...closes],
      refusals: [...refusals],
      drain,
      canDrain: this.#given.drain !== undefined,
      limits: limitRows(this.#given.limits ?? {}),
      connections: viewOf(rows, addresses, query),
    });
  }
}
