import { cores } from '../proc/pinned.ts';
import { Program } from './program.ts';
import type { Delay } from './stalls.ts';
import type { Wait } from './waits.ts';

/**
 * What the clients of a process do.
 *
 * - `drip`: each connects, sends a byte every so often, and never ends a line. It comes back at once when it is closed.
 * - `hold`: each connects, sends a line, and stays. Served ones send a line every so often. Refused ones may come again.
 * - `arrive`: so many new ones connect in a second, whatever the server does. Each sends a line, waits for its reply, and closes.
 * - `repeat`: each connects, sends a line, waits for its reply, closes, and begins again, some times or until it is stopped.
 */
export type Manner = 'drip' | 'hold' | 'arrive' | 'repeat';

export interface ClientJob {
  readonly manner: Manner;
  /** Local addresses, from which clients connect in turn. */
  readonly from: readonly string[];
  /** How many clients; in all, where they arrive. @default Infinity */
  readonly count?: number;
  /** Milliseconds between two bytes, or between two lines of one that is held. @default never */
  readonly every?: number;
  /** Clients that arrive in a second. */
  readonly perSecond?: number;
  /** Milliseconds after which a client that was not served gives up. @default Infinity */
  readonly patience?: number;
  /** How often each client repeats. @default Infinity */
  readonly times?: number;
  /** Milliseconds after which a refused one that would be held comes again. @default never */
  readonly again?: number;
  /** How many may be connecting at a time, of those that are held or drip. @default 100 */
  readonly atOnce?: number;
  /** The process of the server, for `net`. */
  readonly server?: number;
  /** Whether the process records when it waits for a core. */
  readonly recordsWaits?: boolean;
  /** Whether the process gives way to others on its core, so that it does not delay clients that are measured there. */
  readonly yields?: boolean;
}

/** Waits for `begin`; `stop` begins no more; `leave` closes some of those that are held. */
export type ClientQuestion =
  | { readonly ask: 'report' | 'begin' | 'stop' }
  | { readonly ask: 'leave'; readonly count: number };

/** Since the start; `times`, `net`, `closes` and `delay` since the last report. */
export interface ClientReport {
  /** SYNs that were sent. */
  readonly begun: number;
  /** Clients that are connected or connecting. */
  readonly there: number;
  /** Clients that have a reply. */
  readonly served: number;
  /** Connections that were closed by a FIN before a reply. */
  readonly refused: number;
  /** The same by a RST. */
  readonly reset: number;
  /** Connects that failed. */
  readonly failed: number;
  /** The same, by the code of the error. */
  readonly errors: Record<string, number>;
  /** Clients that gave up. */
  readonly gaveUp: number;
  /** Connections that had a reply, and that the server closed. */
  readonly lost: number;
  /** Milliseconds from each SYN to its reply; or of a line to its reply on a held connection. */
  readonly times: readonly number[];
  /** The same of visits, less the time for which the server was ready to run meanwhile, and had no core. */
  readonly net: readonly number[];
  /** When held connections were closed by the server, in milliseconds since 1970. */
  readonly closes: readonly number[];
  /** When the process waited for a core, since the start. */
  readonly waits: readonly Wait[];
  /** How late the timers of this process were: what its own stalls may add to a time. */
  readonly delay: Delay;
}

/** Some addresses of the loopback network, such as `127.0.1.1` to `127.0.1.60`. */
export const addresses = (prefix: string, first: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}.${first + i}`);

/** Clients in a process of their own, which is not on the core of the server. */
export class Clients {
  readonly #program: Program<ClientQuestion, ClientReport>;

  private constructor(program: Program<ClientQuestion, ClientReport>) {
    this.#program = program;
  }

  /** Starts the process. The clients wait until they may begin. */
  static async start(port: number, job: ClientJob): Promise<Clients> {
    const all = { ...job, port };
    const where = { core: cores.load };
    const [program] = await Program.start<ClientQuestion, ClientReport, string>('clientProgram.ts', all, where);
    return new Clients(program);
  }

  begin(): Promise<ClientReport> {
    return this.#program.ask({ ask: 'begin' });
  }

  report(): Promise<ClientReport> {
    return this.#program.ask({ ask: 'report' });
  }

  /** Begins no more. */
  end(): Promise<ClientReport> {
    return this.#program.ask({ ask: 'stop' });
  }

  leave(count: number): Promise<ClientReport> {
    return this.#program.ask({ ask: 'leave', count });
  }

  /** Polls until a condition holds, and sums up the times of all reports. */
  async until(what: (report: ClientReport) => boolean, within: number): Promise<ClientReport> {
    const times: number[] = [];
    const net: number[] = [];
    const closes: number[] = [];
    let delay = { p99: 0, max: 0 };
    const kept = (report: ClientReport) => {
      for (const time of report.times) times.push(time);
      for (const time of report.net) net.push(time);
      for (const close of report.closes) closes.push(close);
      delay = { p99: Math.max(delay.p99, report.delay.p99), max: Math.max(delay.max, report.delay.max) };
      return what(report);
    };
    return { ...(await this.#program.until({ ask: 'report' }, kept, within)), times, net, closes, delay };
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}
