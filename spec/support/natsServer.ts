import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { iteration } from './clock.ts';
import { freePort } from './freePort.ts';

const present = spawnSync('nats-server', ['--version']).status === 0;

/** Without nats-server the specs fail in CI; elsewhere they are skipped with a warning. */
export const skipped = !present && process.env.CI === undefined;
if (skipped) console.warn('nats-server is not installed: the specs that need it are skipped');

const running = new Set<ChildProcess>();

/** For `afterEach`: kills the servers that still run. */
export async function endNats(): Promise<void> {
  await Promise.all([...running].map(kill));
}

/** A real nats-server, on a port that stays the same when it is started again. */
export class NatsServer {
  readonly port: number;
  readonly #streams: string | undefined;
  readonly #certificate: string | undefined;
  #process: ChildProcess | undefined;

  private constructor(port: number, streams: string | undefined, certificate: string | undefined) {
    this.port = port;
    this.#streams = streams;
    this.#certificate = certificate;
  }

  /**
   * @param streams The folder for the streams of JetStream, which is disabled without it.
   * @param certificate The file of a certificate and its key, for TLS.
   */
  static async start(streams?: string, certificate?: string): Promise<NatsServer> {
    if (!present) throw new Error('nats-server is not installed, and CI needs it');
    const server = new NatsServer(await freePort(), streams, certificate);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts the server, also after it was killed. */
  async start(): Promise<void> {
    const jetstream = this.#streams === undefined ? [] : ['-js', '-sd', this.#streams];
    const file = this.#certificate;
    const tls = file === undefined ? [] : ['--tls', '--tlscert', file, '--tlskey', file];
    const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(this.port), ...jetstream, ...tls], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = child;
    running.add(child);
    child.on('close', () => running.delete(child));
    let output = '';
    await new Promise<void>((resolve, reject) => {
      child.on('close', () => reject(new Error(`nats-server ended: ${output}`)));
      createInterface(child.stderr).on('line', (line) => {
        output += `${line}\n`;
        if (line.includes('Server is ready')) resolve();
      });
    });
  }

  /** Suspends the server; its connections stay open. Resolves when none of its threads runs any more. */
  async freeze(): Promise<void> {
    this.#process?.kill('SIGSTOP');
    while (this.#process?.pid !== undefined && !isSuspended(this.#process.pid)) await iteration();
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Kills the server. */
  async kill(): Promise<void> {
    if (this.#process) await kill(this.#process);
  }
}

/** On a busy machine the threads of a process continue for a while after SIGSTOP. Only Linux reports it. */
function isSuspended(pid: number): boolean {
  if (process.platform !== 'linux') return true;
  const state = (thread: string) =>
    /^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))?.[1];
  return readdirSync(`/proc/${pid}/task`).every((thread) => state(thread) === 'T');
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
