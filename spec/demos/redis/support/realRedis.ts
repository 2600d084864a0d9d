import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Reply, ReplyReader } from './replies.ts';

/**
 * Whether a program of the Debian packages `redis-server` and `redis-tools` is installed. If it is not, the specs that need it
 * are skipped, except in CI, where they fail.
 */
export function isInstalled(program: string): boolean {
  if (spawnSync(program, ['--version']).error === undefined) return true;
  if (process.env.CI) throw new Error(`${program} is not installed: apt-get install redis-server redis-tools`);
  console.warn(`skipped: ${program} is not installed (apt-get install redis-server redis-tools)`);
  return false;
}

/** A redis-server with a folder of its own, reached over a unix socket. */
export class RealRedis {
  readonly folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess) {
    this.folder = folder;
    this.#process = process;
  }

  /** @param prepare Puts files into the folder before the server starts. */
  static async start(args: readonly string[] = [], prepare: (folder: string) => void = () => {}): Promise<RealRedis> {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
    prepare(folder);
    const fixed = [
      '--port',
      '0',
      '--unixsocket',
      join(folder, 'socket'),
      '--dir',
      folder,
      '--databases',
      '1',
      '--save',
      '',
    ];
    const server = spawn('redis-server', [...fixed, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    await new Promise<void>((resolve, reject) => {
      server.stdout?.on('data', (text) => {
        output += text;
        if (output.includes('The server is now ready')) resolve();
      });
      server.once('exit', () => reject(new Error(`redis-server ended:\n${output}`)));
    });
    return new RealRedis(folder, server);
  }

  async connect(): Promise<RealClient> {
    const socket = createConnection(join(this.folder, 'socket'));
    await once(socket, 'connect');
    return new RealClient(socket);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null) {
      this.#process.kill();
      await once(this.#process, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class RealClient {
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  #wake: () => void = () => {};
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => {
      this.#reader.add(bytes);
      this.#wake();
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
    socket.on('error', () => {});
  }

  send(bytes: string): void {
    this.#socket.write(bytes, 'latin1');
  }

  /** The next `count` replies, or fewer if the server ends the connection before. */
  async replies(count: number): Promise<Reply[]> {
    const replies: Reply[] = [];
    while (replies.length < count) {
      const reply = this.#reader.next();
      if (reply !== undefined) replies.push(reply);
      else if (this.#closed) break;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
    return replies;
  }

  /** All replies until the server ends the connection. */
  async everything(): Promise<Reply[]> {
    return this.replies(Number.POSITIVE_INFINITY);
  }

  /** Sends a FIN. */
  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }
}
