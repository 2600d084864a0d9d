import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { freePort } from '../../support/freePort.ts';

/** Whether memcached is installed. */
export const present = spawnSync('memcached', ['-V']).status === 0;

/** Where everything is to be checked, an original that is missing is a failure; elsewhere it is only said. */
export const skipped = !present && process.env.CI === undefined;

/** The original, one command at a time. */
export class Original {
  readonly #process: ChildProcess;
  readonly #port: number;
  #socket: Socket | undefined;
  #got = '';
  #wake: () => void = () => {};
  #lost: (reason: string) => void = () => {};

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.#port = port;
  }

  static async start(): Promise<Original> {
    if (!present) throw new Error('memcached is not installed, and CI compares with it');
    const port = await freePort();
    // Its helpers look at items now and then, and a number that is just looked at is not changed in its place.
    const alone = ['-o', 'no_lru_maintainer,no_lru_crawler'];
    const args = ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-t', '1', '-u', 'nobody', ...alone];
    const child = spawn('memcached', args, { stdio: 'inherit' });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const original = new Original(child, port);
        await original.connect();
        return original;
      } catch (error) {
        // It listens within milliseconds, and has no way to say when.
        if (attempt === 100 || child.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Begins a new conversation, in which nothing is left over from the one before. */
  async connect(): Promise<void> {
    this.#socket?.destroy();
    this.#got = '';
    const socket = await connected(this.#port);
    this.#socket = socket.setEncoding('latin1');
    // A command that makes the original wait for more is a mistake of the spec.
    socket.setTimeout(5000, () => this.#lost('no reply'));
    socket.on('data', (text: string) => {
      this.#got += text;
      this.#wake();
    });
    socket.on('close', () => {
      if (socket === this.#socket) this.#lost('connection closed');
    });
  }

  /**
   * Sends a command, and behind it one with a reply that is known: whatever comes before that is the reply.
   *
   * @param last What is sent behind the command.
   * @param mark Its reply.
   */
  async ask(command: string, last = 'mn\r\n', mark = 'MN\r\n'): Promise<string> {
    this.#got = '';
    const broken = new Promise<never>((_, reject) => {
      this.#lost = (reason) => reject(new Error(`${reason} after ${JSON.stringify(command.slice(0, 200))}`));
    });
    // Looked at below, or not at all if the reply comes.
    broken.catch(() => {});
    this.#socket?.write(Buffer.from(command + last, 'latin1'));
    while (!this.#got.endsWith(mark)) {
      const more = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([more, broken]);
    }
    return this.#got.slice(0, -mark.length);
  }

  async stop(): Promise<void> {
    this.#socket?.destroy();
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await gone;
  }
}

function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject);
  });
}
