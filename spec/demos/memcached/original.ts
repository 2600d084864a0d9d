import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { freePort } from '../../support/freePort.ts';

/** Whether memcached is installed. */
export const present = spawnSync('memcached', ['-V']).status === 0;

/** Whether specs that need the original are skipped. In CI, where everything must be checked, a missing original is a failure. */
export const skipped = !present && process.env.CI === undefined;

/** The original memcached, which is sent one command at a time. */
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
    // Its background threads access items from time to time, and a number is not changed in place meanwhile.
    const alone = ['-o', 'no_lru_maintainer,no_lru_crawler'];
    const args = ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-t', '1', '-u', 'nobody', ...alone];
    const child = spawn('memcached', args, { stdio: 'inherit' });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const original = new Original(child, port);
        await original.connect();
        return original;
      } catch (error) {
        // It listens within milliseconds, and cannot report when.
        if (attempt === 100 || child.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Opens a new connection, without any data left over from the previous one. */
  async connect(): Promise<void> {
    this.#socket?.destroy();
    this.#got = '';
    const socket = await connected(this.#port);
    this.#socket = socket.setEncoding('latin1');
    // A command that makes the original wait for more data is a mistake in the spec.
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
   * Sends a command, and after it a second one whose reply is known: everything before that is the reply to the first.
   *
   * @param last The second command.
   * @param mark The reply to the second command.
   * @returns The reply to the first command.
   */
  async ask(command: string, last = 'mn\r\n', mark = 'MN\r\n'): Promise<string> {
    this.#got = '';
    const broken = new Promise<never>((_, reject) => {
      this.#lost = (reason) => reject(new Error(`${reason} after ${JSON.stringify(command.slice(0, 200))}`));
    });
    // It is awaited below, or not at all if the reply arrives.
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
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
  }
}

function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject);
  });
}
