import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

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
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<NatsServer> {
    if (!present) throw new Error('nats-server is not installed, and CI needs it');
    const server = new NatsServer(await freePort());
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it, again if it was killed. */
  async start(): Promise<void> {
    const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(this.port)], {
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

  /** Kills it, so that it can do nothing more. */
  async kill(): Promise<void> {
    if (this.#process) await kill(this.#process);
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'close');
  child.kill('SIGKILL');
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('There is no free port');
  return address.port;
}
