import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseResident } from '../proc/memory.ts';

export type Mode = 'slow' | 'slow-in-place' | 'echo' | 'topic' | 'published' | 'writes' | 'large';

export type Question = { readonly id: number } & (
  | { readonly ask: 'figures' | 'heap' }
  | { readonly ask: 'publish'; readonly count: number; readonly bytes: number; readonly rate: number }
);
type Asked = Question extends infer One ? (One extends Question ? Omit<One, 'id'> : never) : never;

/** What the server says of itself. */
export interface Answer {
  readonly handled: number;
  readonly publishing: boolean;
  /** How long after the beginning of the last publication somebody was closed, in milliseconds. */
  readonly cutAfter?: number;
  /** How many are in the room. */
  readonly members: number;
  /** Connections that ended, by their reason. */
  readonly closed: Record<string, number>;
  readonly refused: Record<string, number>;
  /** In bytes; after a garbage collection if that was asked for. */
  readonly heap: number;
  /** Fewest and most. */
  readonly listeners: number[];
  readonly timers: number[];
  readonly writes: number;
}

const program = fileURLToPath(new URL('server.ts', import.meta.url));

/** A server in a process of its own, looked at from outside. */
export class Child {
  readonly pid: number;
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #questions = 0;
  /** The most that its memory has been since `watch`, in bytes. */
  peak = 0;
  #watching: NodeJS.Timeout | undefined;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.port = port;
    this.pid = process.pid as number;
    process.on('message', ({ id, ...answer }: Answer & { id: number }) => this.#waiting.get(id)?.(answer));
  }

  /** @param cgroup The directory of one to run in. */
  static async start(mode: Mode, options: object = {}, cgroup?: string): Promise<Child> {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const execArgv = ['--import', 'tsx', '--expose-gc'];
    const args = [mode, JSON.stringify(options)];
    // From its first breath, because it looks at its limit when it begins to listen.
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

  /** Asks, and waits for the answer. */
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

  /** Asks until something is so. */
  async until(what: (answer: Answer) => boolean, within: number, says: string): Promise<Answer> {
    for (const end = performance.now() + within; performance.now() < end; await pause(50)) {
      const answer = await this.ask();
      if (what(answer)) return answer;
    }
    throw new Error(`In ${within} ms it has not come to: ${says}`);
  }

  /** Begins to look at its memory, each 20 ms. @returns What it is now, in bytes. */
  watch(): number {
    clearInterval(this.#watching);
    const now = this.#resident();
    this.peak = now;
    this.#watching = setInterval(() => {
      this.peak = Math.max(this.peak, this.#resident());
    }, 20);
    return now;
  }

  /** The cheap way: to count page by page holds the process up. */
  #resident(): number {
    return parseResident(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
  }

  /** Whether it is still there: the kernel may have ended it. */
  get alive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** How many descriptors it has open. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async stop(): Promise<void> {
    clearInterval(this.#watching);
    if (!this.alive) return;
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }
}
