import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { type Demo, type DemoResult, spawnDemo } from '../../../support/spawnDemo.ts';
import { endProxies, frontOf } from '../../../support/throughProxy.ts';
import { Waitable } from '../../../support/waitable.ts';

/** A line of the server's log. */
export interface LogLine {
  readonly msg: string;
  readonly type?: string;
  readonly reason?: string;
  readonly [field: string]: unknown;
}

/** How long the server may take to start, in milliseconds: compiling is slow while many specs run. */
const START = 15_000;

const running = new Set<RedisServer>();

/** For `afterEach` or `afterAll`: kills all servers that are still running. */
export async function endServers(): Promise<void> {
  await Promise.all([...running].map((server) => server.kill('SIGKILL')));
  endProxies();
}

/** `demos/redis/server.ts` on a free port, in a process of its own, with its log. */
export class RedisServer extends Waitable {
  readonly log: LogLine[] = [];
  port = 0;
  readonly #demo: Demo;
  #over = false;

  private constructor(args: readonly string[]) {
    super();
    this.#demo = spawnDemo('redis/server', ['--port', '0', ...args]);
    running.add(this);
    const { stdout } = this.#demo.process;
    if (stdout === null) throw new Error('The server has no standard output');
    createInterface(stdout).on('line', (line) => {
      this.log.push(JSON.parse(line));
      this.changed();
    });
    this.#demo.done.then(() => {
      running.delete(this);
      this.#over = true;
      this.changed();
    });
  }

  static async start(...args: string[]): Promise<RedisServer> {
    const server = new RedisServer(args);
    await server.until(({ log }) => server.#over || log.some(({ type }) => type === 'listening'), 'listening', START);
    const listening = server.log.find(({ type }) => type === 'listening');
    if (listening === undefined) throw new Error(`The server ended: ${(await server.#demo.done).stderr}`);
    server.port = await frontOf(Number(listening.msg.match(/^listening on 127\.0\.0\.1:(\d+)$/)?.[1]));
    return server;
  }

  /** Starts a server that is expected to end by itself. */
  static end(...args: string[]): Promise<DemoResult> {
    return new RedisServer(args).#demo.done;
  }

  get done(): Promise<DemoResult> {
    return this.#demo.done;
  }

  kill(signal: NodeJS.Signals): Promise<DemoResult> {
    this.#demo.process.kill(signal);
    return this.#demo.done;
  }

  /** Waits for a log line of some type. */
  async whenLogged(type: string): Promise<LogLine> {
    await this.until(({ log }) => log.some((line) => line.type === type), `a line of type ${type}`);
    return this.log.find((line) => line.type === type) as LogLine;
  }

  /** Runs a program of Redis against it. */
  run(program: string, args: readonly string[], input = ''): Promise<Ran> {
    return run(program, ['-p', String(this.port), ...args], input);
  }

  /** What `redis-cli` prints for a command. */
  async cli(...args: string[]): Promise<string> {
    const { stdout } = await this.run('redis-cli', args);
    return stdout.trimEnd();
  }
}

/** How a program ended, and what it printed. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function run(program: string, args: readonly string[], input = ''): Promise<Ran> {
  const child = spawn(program, args, { stdio: 'pipe' });
  const over = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // It may end before it has read all of its input. Its exit code shows whether that was right.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([over, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}
