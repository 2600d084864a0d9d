import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { DrainReport } from '../../../lib/index.ts';
import { parseResident } from '../proc/memory.ts';
import { cores, pin } from '../proc/pinned.ts';

export type Mode =
  | 'slow'
  | 'slow-in-place'
  | 'echo'
  | 'topic'
  | 'published'
  | 'writes'
  | 'large'
  | 'replies'
  | 'starttls';

/** As PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export type Question = { readonly id: number } & (
  | { readonly ask: 'figures' | 'heap' | 'drain' }
  | { readonly ask: 'renew'; readonly tls: Certificate }
  | { readonly ask: 'publish'; readonly count: number; readonly bytes: number; readonly rate: number }
);
type Asked = Question extends infer One ? (One extends Question ? Omit<One, 'id'> : never) : never;

/** The figures of the server. */
export interface Answer {
  readonly handled: number;
  readonly publishing: boolean;
  /** Time from the start of the last publication to the first close of a connection, in milliseconds. */
  readonly closedAfter?: number;
  /** Members of the room. */
  readonly members: number;
  /** Closed connections, by reason. */
  readonly closed: Record<string, number>;
  /** Refused connections, by reason; for `deadline` also by the name of the deadline. */
  readonly refused: Record<string, number>;
  /** `failed` events that concern no connection. */
  readonly faults: number;
  /** `certificate` events. */
  readonly certificates: number;
  /** The report of the drain, once it is over. */
  readonly drained?: DrainReport;
  /** Sockets and other resources that keep the process alive, without timers. */
  readonly handles: number;
  /** In bytes; after a garbage collection if the question is `heap`. */
  readonly heap: number;
  /** Minimum and maximum. */
  readonly listeners: number[];
  readonly timers: number[];
  readonly writes: number;
}

const program = fileURLToPath(new URL('server.ts', import.meta.url));

/** A server in a process of its own, observed from outside. */
export class Child {
  readonly pid: number;
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #questions = 0;
  /** The maximum of its memory since `watch`, in bytes. */
  peak = 0;
  #watching: NodeJS.Timeout | undefined;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.port = port;
    this.pid = process.pid as number;
    process.on('message', ({ id, ...answer }: Answer & { id: number }) => this.#waiting.get(id)?.(answer));
  }

  /** @param cgroup The directory of the cgroup to run in. */
  static async start(mode: Mode, options: object = {}, cgroup?: string): Promise<Child> {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const execArgv = ['--import', 'tsx', '--expose-gc'];
    const args = [mode, JSON.stringify(options)];
    // It joins the cgroup before Node starts, because the library reads the memory limit when it begins to listen.
    const join = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
    const child =
      cgroup === undefined
        ? fork(program, args, { execArgv, stdio: [...stdio] })
        : spawn('sh', ['-c', join, cgroup, process.execPath, ...execArgv, program, ...args], { stdio: [...stdio] });
    const died = once(child, 'exit').then(([code]) => {
      throw new Error(`The server ended with ${code} before it listened`);
    });
    const [{ port }] = (await Promise.race([once(child, 'message'), died])) as [{ port: number }];
    died.catch(() => undefined);
    return new Child(child, port);
  }

  /** Sends a question, and waits for the answer. */
  ask(question: Asked = { ask: 'figures' }): Promise<Answer> {
    const id = ++this.#questions;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (answer) => {
        this.#waiting.delete(id);
        resolve(answer);
      });
      this.#process.send({ ...question, id }, (error) => error && reject(error));
    });
  }

  /** Polls until a condition holds. */
  async until(what: (answer: Answer) => boolean, within: number, condition: string): Promise<Answer> {
    for (const end = performance.now() + within; performance.now() < end; await pause(50)) {
      const answer = await this.ask();
      if (what(answer)) return answer;
    }
    throw new Error(`Not within ${within} ms: ${condition}`);
  }

  /**
   * Runs work with the server on one core, and this process, with the processes that it starts, on the other. So the clients
   * take no CPU time from the server.
   */
  async apart<T>(work: () => Promise<T>): Promise<T> {
    await Promise.all([pin(this.pid, cores.server), pin(process.pid, cores.load)]);
    try {
      return await work();
    } finally {
      await pin(process.pid);
    }
  }

  /** Starts to sample its memory, every 20 ms. @returns The present value, in bytes. */
  watch(): number {
    clearInterval(this.#watching);
    const now = this.resident;
    this.peak = now;
    this.#watching = setInterval(() => {
      this.peak = Math.max(this.peak, this.resident);
    }, 20);
    return now;
  }

  /** Its memory, in bytes. From `status` instead of `smaps_rollup`, because a count page by page would stall the process. */
  get resident(): number {
    return parseResident(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
  }

  /** Whether the process is alive: the kernel may have killed it. */
  get alive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Number of its open descriptors. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async stop(): Promise<void> {
    clearInterval(this.#watching);
    if (!this.alive) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}
