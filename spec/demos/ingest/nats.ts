import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Whether there is a nats-server to be started. In CI there has to be. */
export function hasNats(): boolean {
  const { error } = spawnSync('nats-server', ['--version']);
  if (error === undefined) return true;
  const text = 'nats-server is not installed (Debian: nats-server)';
  if (process.env.CI) throw new Error(text, { cause: error });
  console.warn(`Specs with JetStream are skipped: ${text}`);
  return false;
}

/** A real NATS server with JetStream on a free port, that can be killed and started again where it was. */
export class Nats {
  readonly port: number;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  /** Starts one that keeps its streams in a folder. */
  static async start(folder: string): Promise<Nats> {
    const nats = new Nats(folder, await freePort());
    await nats.start();
    return nats;
  }

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it, and waits until it is ready. */
  async start(): Promise<void> {
    const args = ['-js', '-sd', this.#folder, '-a', '127.0.0.1', '-p', String(this.port)];
    const child = spawn('nats-server', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('Server is ready')) resolve();
      });
      child.once('close', () => reject(new Error(`nats-server ended: ${said}`)));
    });
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}

/** It has no way to say which port it got, so one is looked for. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('A TCP server without a port');
  return address.port;
}
