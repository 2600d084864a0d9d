import type { DrainReport, Rehearsal } from '../../../lib/index.ts';
import { readCpu } from '../proc/cpu.ts';
import { cores } from '../proc/pinned.ts';
import { Program, type ProgramOptions } from './program.ts';
import type { Delay } from './stalls.ts';
import { type Wait, waited } from './waits.ts';

/** How the server of a row is started. */
export interface ServerJob {
  /** Those of `serve`. What is infinite may be so here. */
  readonly options?: object;
  /** Milliseconds of asynchronous work for each line. @default 0 */
  readonly work?: number;
  /** Up to as many milliseconds more, at random: so that clients do not finish together. @default 0 */
  readonly more?: number;
  /** Whether one reply is all, and the server closes first. */
  readonly isOnce?: boolean;
  /** The first value of `concurrency` as an Observable. */
  readonly concurrency?: number;
  /** Whether the library cannot see the descriptors of connections. */
  readonly isBlind?: boolean;
  /** Whether the process records when it waits for a core. */
  readonly recordsWaits?: boolean;
  /** Whether the process serves metrics by HTTP, too. */
  readonly hasMetrics?: boolean;
}

export type ServerQuestion =
  | { readonly ask: 'figures' }
  /** The heap after a garbage collection. */
  | { readonly ask: 'heap' }
  /** What a drain would do now, and the drain itself. */
  | { readonly ask: 'rehearse' | 'drain' }
  /** Switches `concurrency`, or, where it is fixed, only the value that is compared with. */
  | { readonly ask: 'limit'; readonly value: number };

export interface ServerAnswer {
  readonly accepted: number;
  readonly active: number;
  readonly waiting: number;
  readonly refused: number;
  /** By reason. */
  readonly refusals: Record<string, number>;
  /** The other events, by type, without those of connections. */
  readonly events: Record<string, number>;
  /** The most connections that were served at a time, since the start. */
  readonly most: number;
  /** How many connections were taken while as many as the limit allows, or more, were served. */
  readonly beyond: number;
  /** How often the port has stopped accepting. */
  readonly pauses: number;
  /** In bytes. */
  readonly heap: number;
  /** Since the last question. */
  readonly delay: Delay;
  readonly waits: readonly Wait[];
  /** If it was asked for. */
  readonly rehearsal?: Rehearsal;
  /** The report of the drain, once it is over. */
  readonly drained?: DrainReport;
}

export interface Ready {
  readonly port: number;
  /** The port of the metrics. */
  readonly metrics: number | undefined;
}

/** The server of a row, in a process and on a core of its own. */
export class Server {
  readonly port: number;
  readonly metrics: number | undefined;
  readonly #program: Program<ServerQuestion, ServerAnswer>;

  private constructor(program: Program<ServerQuestion, ServerAnswer>, { port, metrics }: Ready) {
    this.#program = program;
    this.port = port;
    this.metrics = metrics;
  }

  static async start(job: ServerJob, options: Omit<ProgramOptions, 'core'> = {}): Promise<Server> {
    const where = { ...options, core: cores.server };
    const [program, ready] = await Program.start<ServerQuestion, ServerAnswer, Ready>('serverProgram.ts', job, where);
    return new Server(program, ready);
  }

  ask(question: ServerQuestion = { ask: 'figures' }): Promise<ServerAnswer> {
    return this.#program.ask(question);
  }

  until(what: (answer: ServerAnswer) => boolean, within: number): Promise<ServerAnswer> {
    return this.#program.until({ ask: 'figures' }, what, within);
  }

  get pid(): number {
    return this.#program.pid;
  }

  /** Milliseconds for which its thread was ready to run and had no core, and for which it ran, since the start. */
  get used(): { readonly waited: number; readonly ran: number } {
    return { waited: waited(this.pid), ran: readCpu(this.pid).total / 1000 };
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}
