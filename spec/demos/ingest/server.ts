import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Demo, type DemoResult, spawnDemo } from '../../support/spawnDemo.ts';
import { endProxies, frontOf } from '../../support/throughProxy.ts';
import { Waitable } from '../../support/waitable.ts';

const demos = new Set<Demo>();
const sockets = new Set<Socket>();
const folders: string[] = [];

/** For `afterEach`: ends every process, socket and folder of a spec. */
export async function endAll(): Promise<void> {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  endProxies();
  for (const demo of demos) demo.process.kill('SIGKILL');
  await Promise.all([...demos].map(({ done }) => done));
  demos.clear();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A folder that is deleted after the spec. */
export function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'ingest-spec-'));
  folders.push(made);
  return made;
}

/** A line of the log. `address` and `reason` are in some of them only. */
interface LogLine {
  readonly type: string;
  readonly address?: { readonly port: number };
  readonly reason?: string;
}

/** The ingest demo in a process of its own, and its log. */
export class Server extends Waitable {
  readonly lines: LogLine[] = [];
  readonly #demo: Demo;
  #ended: DemoResult | undefined;
  /** The port that clients connect to: its own, or that of a proxy. */
  #front: Promise<number> | undefined;

  constructor(...args: string[]) {
    super();
    this.#demo = spawnDemo('ingest/index', ['--port', '0', ...args]);
    demos.add(this.#demo);
    void this.#demo.done.then((result) => {
      this.#ended = result;
      this.changed();
    });
    const { stdout } = this.#demo.process;
    if (stdout === null) throw new Error('The demo has no standard output');
    createInterface({ input: stdout }).on('line', (line) => {
      this.lines.push(JSON.parse(line));
      this.changed();
    });
  }

  /** All log lines of a type. */
  of(type: string): LogLine[] {
    return this.lines.filter((line) => line.type === type);
  }

  async port(): Promise<number> {
    await this.until((server) => server.#ended !== undefined || server.of('listening').length > 0, 'listening', 15_000);
    if (this.#ended !== undefined) throw new Error(`The demo has ended: ${this.#ended.stderr}`);
    return this.of('listening')[0]?.address?.port ?? 0;
  }

  /** Connects a client, and waits for the connection. */
  async connect(): Promise<Client> {
    this.#front ??= this.port().then(frontOf);
    const client = new Client(await this.#front);
    await once(client.socket, 'connect');
    return client;
  }

  signal(signal: NodeJS.Signals): void {
    this.#demo.process.kill(signal);
  }

  /** Resolved when the process has ended. */
  get done(): Promise<DemoResult> {
    return this.#demo.done;
  }
}

/** One connection to the server, and the lines received. */
export class Client extends Waitable {
  readonly socket: Socket;
  readonly lines: string[] = [];
  /** All lines but the `wait` lines. */
  readonly answers: string[] = [];
  readonly waits: string[] = [];
  ended = false;

  constructor(port: number) {
    super();
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    sockets.add(this.socket);
    const lines = createInterface({ input: this.socket }).on('line', (line) => {
      this.lines.push(line);
      (line.startsWith('wait ') ? this.waits : this.answers).push(line);
      this.changed();
    });
    for (const emitter of [this.socket, lines]) emitter.on('error', () => undefined);
    for (const event of ['end', 'close']) {
      this.socket.on(event, () => {
        this.ended = true;
        this.changed();
      });
    }
  }

  /** Sends values as JSON lines, and strings unchanged. */
  send(...what: unknown[]): void {
    this.socket.write(what.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)).concat('\n')).join(''));
  }

  whenReceived(count: number, within?: number): Promise<this> {
    return this.until(({ lines }) => lines.length >= count, `${count} lines, after ${this.lines.length}`, within);
  }
}
