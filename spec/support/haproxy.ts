import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Debian has it where only the administrator's PATH leads to. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

const missing = [['haproxy', '-v'] as const, ['openssl', 'version'] as const]
  .filter(([program, argument]) => spawnSync(program, [argument], { env }).error !== undefined)
  .map(([program]) => program);

/** Whether specs that need the programs are skipped. In CI, where everything must be checked, missing programs are a failure. */
export const skipped = missing.length > 0 && process.env.CI === undefined;
if (skipped)
  console.warn(`${missing.join(' and ')} not installed: the PROXY header is not compared with that of HAProxy`);

/** A way through HAProxy: the words of its `bind` and of its `server`. */
export interface Route {
  readonly bind?: string;
  readonly server: string;
  /** The port of the server. @default that of the server here */
  readonly to?: number;
}

/** What HAProxy sent on one connection, from its first byte on. */
class Received {
  bytes: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, changed: () => void) {
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => {
        this.bytes = Buffer.concat([this.bytes, chunk]);
        changed();
      });
  }
}

/** HAProxy with some routes, which all lead to a server here. */
export class HAProxy {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-haproxy-'));
  readonly #backend: Server;
  readonly #process: ChildProcess;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #received: Received[] = [];
  #changed: () => void = () => undefined;
  #output = '';

  private constructor(backend: Server, fronts: ReadonlyMap<string, Server>, routes: Readonly<Record<string, Route>>) {
    this.#backend = backend;
    backend.on('connection', (socket) => this.#received.push(new Received(socket, () => this.#changed())));
    this.#ports = new Map([...fronts].map(([name, server]) => [name, portOf(server)]));
    this.certificate('server', 'server.example');
    this.certificate('known', 'client.example');
    this.certificate('stranger', 'stranger.example');
    const ways = Object.entries(routes).map(([name, { bind = '', server, to = portOf(backend) }], i) => {
      const words = bind.replaceAll('FOLDER', this.folder);
      return `
        frontend ${name}
          bind fd@${3 + i} ${words}
          unique-id-format ${name}-%ci
          default_backend ${name}
        backend ${name}
          server one 127.0.0.1:${to} ${server}`;
    });
    const timeouts = ['connect', 'client', 'server'].map((what) => `timeout ${what} 60s`).join('\n');
    const file = join(this.folder, 'haproxy.cfg');
    writeFileSync(file, `defaults\nmode tcp\n${timeouts}\n${ways.join('\n')}\n`);
    // It inherits the descriptors, on which connections wait until it accepts them: nothing has to wait for its start.
    const descriptors = [...fronts.values()].map(
      (front) => (front as unknown as { _handle: { fd: number } })._handle.fd,
    );
    this.#process = spawn('haproxy', ['-db', '-f', file], { env, stdio: ['ignore', 'pipe', 'pipe', ...descriptors] });
    for (const output of [this.#process.stdout, this.#process.stderr]) {
      output?.on('data', (text) => {
        this.#output += text;
      });
    }
    this.#process.on('close', () => this.#changed());
    for (const front of fronts.values()) front.close();
  }

  static async start(routes: Readonly<Record<string, Route>>): Promise<HAProxy> {
    if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`);
    const fronts = await Promise.all(Object.keys(routes).map(async (name) => [name, await listening()] as const));
    return new HAProxy(await listening(), new Map(fronts), routes);
  }

  port(route: string): number {
    return this.#ports.get(route) ?? 0;
  }

  /** Makes a certificate. Its file has the key, too. */
  certificate(name: string, commonName: string): void {
    const [key, certificate] = ['key', 'crt'].map((end) => join(this.folder, `${name}.${end}`)) as [string, string];
    const kind = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${commonName}`];
    execFileSync('openssl', ['req', ...kind, '-keyout', key, '-out', certificate], { stdio: 'ignore', env });
    writeFileSync(join(this.folder, `${name}.pem`), readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'));
  }

  read(name: string): Buffer {
    return readFileSync(join(this.folder, name));
  }

  /** What the server receives on the next connection, once it ends with this text. */
  async next(end: string): Promise<Buffer> {
    for (;;) {
      const first = this.#received[0];
      if (first?.bytes.toString('latin1').endsWith(end)) return this.#received.shift()?.bytes ?? Buffer.alloc(0);
      if (this.#process.exitCode !== null) throw new Error(`haproxy has ended:\n${this.#output}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** How many connections the server has that were not asked for. */
  get waiting(): number {
    return this.#received.length;
  }

  async stop(): Promise<void> {
    this.#backend.close();
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGKILL');
      await once(this.#process, 'exit');
    }
    rmSync(this.folder, { recursive: true });
  }
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function listening(): Promise<Server> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}
