import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { freePort } from './freePort.ts';

const present = spawnSync('nats-server', ['--version']).status === 0;

/** Where everything is to be checked, a nats-server that is missing is a failure; elsewhere it is only said. */
export const skipped = !present && process.env.CI === undefined;
if (skipped) console.warn('nats-server is not installed: what needs it is skipped');

const running = new Set<ChildProcess>();

/** For `afterEach`: no nats-server outlives its spec. */
export async function endNats(): Promise<void> {
  await Promise.all([...running].map(kill));
}

/** A real nats-server, on a port that was free and stays the same. */
export class NatsServer {
  readonly port: number;
  readonly #streams: string | undefined;
  #process: ChildProcess | undefined;

  private constructor(port: number, streams: string | undefined) {
    this.port = port;
    this.#streams = streams;
  }

  /** @param streams The folder where JetStream keeps its streams; without it there is no JetStream. */
  static async start(streams?: string): Promise<NatsServer> {
    if (!present) throw new Error('nats-server is not installed, and CI needs it');
    const server = new NatsServer(await freePort(), streams);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it, again if it was killed. */
  async start(): Promise<void> {
    const jetstream = this.#streams === undefined ? [] : ['-js', '-sd', this.#streams];
    const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(this.port), ...jetstream], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = child;
    running.add(child);
    child.on('close', () => running.delete(child));
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.on('close', () => reject(new Error(`nats-server ended: ${said}`)));
      createInterface(child.stderr).on('line', (line) => {
        said += `${line}\n`;
        if (line.includes('Server is ready')) resolve();
      });
    });
  }

  /** Stops it where it stands; its connections stay open. When this resolves, none of its threads runs any more. */
  async freeze(): Promise<void> {
    this.#process?.kill('SIGSTOP');
    while (this.#process?.pid !== undefined && !standsStill(this.#process.pid)) await turn();
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Kills it, so that it can do nothing more. */
  async kill(): Promise<void> {
    if (this.#process) await kill(this.#process);
  }
}

/** On a busy machine the threads of a process run on for a while after SIGSTOP. Only Linux tells. */
function standsStill(pid: number): boolean {
  if (process.platform !== 'linux') return true;
  const state = (thread: string) =>
    /^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))?.[1];
  return readdirSync(`/proc/${pid}/task`).every((thread) => state(thread) === 'T');
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'close');
  child.kill('SIGKILL');
  await gone;
}
