import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ownNode } from '../proc/node.ts';
import { canPin } from '../proc/pinned.ts';

export interface ProgramOptions {
  /** The path of the Node that runs it. @default the Node of this process */
  readonly node?: string | undefined;
  readonly core: number;
  /** How many descriptors it may have. @default as many as the system allows */
  readonly descriptors?: number | undefined;
}

const running = new Set<ChildProcess>();
// No process outlives the script, however it ends.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** JSON has no infinity, which is a value of several options. */
const INFINITE = 'Infinity';
export const encode = (value: unknown) =>
  JSON.stringify(value, (_, item) => (item === Number.POSITIVE_INFINITY ? INFINITE : item));
export const decode = <T>(text: string | undefined): T =>
  JSON.parse(text ?? '{}', (_, item) => (item === INFINITE ? Number.POSITIVE_INFINITY : item)) as T;

/** A program of this folder in a process of its own, on one core, that answers questions. */
export class Program<Question extends object, Answer> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #questions = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', ({ id, ...answer }: Answer & { id: number }) => this.#waiting.get(id)?.(answer as Answer));
  }

  /** @returns The program, and the first message that it sent. */
  static async start<Question extends object, Answer, First>(
    file: string,
    job: object,
    { node = ownNode.path, core, descriptors }: ProgramOptions,
  ): Promise<[Program<Question, Answer>, First]> {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const command = [node, '--import', 'tsx', '--expose-gc', path, encode(job)];
    const pinned = (await canPin()) ? ['taskset', '-c', String(core), ...command] : command;
    const limit = descriptors ?? '$(ulimit -Hn)';
    // Shell and taskset `exec` the next program in the same process.
    const child = spawn('sh', ['-c', `ulimit -n "${limit}" && exec "$@"`, 'sh', ...pinned], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    const died = once(child, 'exit').then(([code]) => {
      throw new Error(`${file} ended with ${code} before it was ready`);
    });
    const [first] = (await Promise.race([once(child, 'message'), died])) as [First];
    died.catch(() => undefined);
    return [new Program(child), first];
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  ask(question: Question): Promise<Answer> {
    const id = ++this.#questions;
    return new Promise((resolve, reject) => {
      const died = (code: unknown) => reject(new Error(`A process ended with ${code} while it was asked`));
      this.#child.once('exit', died);
      this.#waiting.set(id, (answer) => {
        this.#waiting.delete(id);
        this.#child.off('exit', died);
        resolve(answer);
      });
      this.#child.send({ ...question, id }, (error) => error && reject(error));
    });
  }

  /** Asks until a condition holds, at most for a time. @returns The last answer, whether the condition holds or not. */
  async until(question: Question, what: (answer: Answer) => boolean, within: number): Promise<Answer> {
    const end = performance.now() + within;
    for (;;) {
      const answer = await this.ask(question);
      if (what(answer) || performance.now() > end) return answer;
      await pause(50);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
