import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/**
 * What the peers of a crowd do: they send nothing; they stop in the middle of the handshake; or all begin their handshakes at
 * once, and send a request each.
 */
export type Manner = 'silent' | 'halfway' | 'storm';

export interface CrowdReport {
  /** Peers that are connected, or in the storm have a reply. */
  readonly there: number;
  /** Peers whose connection is closed. */
  readonly gone: number;
  /** Peers that were to be served, and were not. */
  readonly failed: number;
  /** The shortest and the longest time from a connect to a close, in milliseconds. */
  readonly lives: readonly [number, number];
}

const program = fileURLToPath(new URL('crowdPeers.ts', import.meta.url));

/** Many peers in a process of their own, which has the lowest priority: it does not delay the clients that are measured. */
export class Crowd {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  /** Starts the process, and connects the peers. */
  static async start(manner: Manner, port: number, count: number): Promise<Crowd> {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const child = fork(program, [manner, String(port), String(count)], {
      execArgv: ['--import', 'tsx'],
      stdio: [...stdio],
    });
    await once(child, 'message');
    return new Crowd(child);
  }

  /** Lets the storm begin. */
  begin(): void {
    this.#process.send('begin');
  }

  async report(): Promise<CrowdReport> {
    const answer = once(this.#process, 'message');
    this.#process.send('report');
    return (await answer)[0] as CrowdReport;
  }

  /** Polls until a condition holds. */
  async until(what: (report: CrowdReport) => boolean, within: number, condition: string): Promise<CrowdReport> {
    for (const end = performance.now() + within; performance.now() < end; await pause(50)) {
      const report = await this.report();
      if (what(report)) return report;
    }
    throw new Error(`Not within ${within} ms: ${condition}: ${JSON.stringify(await this.report())}`);
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}
