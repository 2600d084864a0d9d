import { type Demo, type DemoResult, spawnDemo } from './spawnDemo.ts';
import { Waitable } from './waitable.ts';

const running = new Set<RunningProxy>();

/** For `afterEach`: kills the proxies that still run. */
export function endProxies(): void {
  for (const proxy of running) proxy.demo.process.kill('SIGKILL');
}

/** `demos/proxy.ts` in a process of its own, and the events that it has logged. */
export class RunningProxy extends Waitable {
  readonly demo: Demo;
  readonly events: { readonly type?: string; readonly [key: string]: unknown }[] = [];
  #rest = '';

  constructor(backends: readonly number[], args: readonly string[]) {
    super();
    const to = backends.flatMap((port) => ['--backend', `127.0.0.1:${port}`]);
    this.demo = spawnDemo('proxy', ['--port', '0', ...to, ...args]);
    running.add(this);
    this.demo.process.stdout?.on('data', (text: string) => this.#read(text));
    void this.demo.done.then(() => running.delete(this));
  }

  #read(text: string): void {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.events.push(JSON.parse(line));
    this.changed();
  }

  /** All events of a type. */
  of(type: string) {
    return this.events.filter((event) => event.type === type);
  }

  get port(): number {
    const [{ address } = {}] = this.of('listening');
    return (address as { port: number } | undefined)?.port ?? 0;
  }

  /** Waits until a backend is down, or up. */
  whenBackend(port: number, up: boolean): Promise<this> {
    const name = `127.0.0.1:${port}`;
    const last = () => this.events.findLast(({ backend }) => backend === name)?.up;
    return this.until(() => last() === up, `backend ${name} ${up ? 'up' : 'down'}`);
  }

  /** Sends SIGTERM, and waits for the exit. */
  async stop(): Promise<DemoResult> {
    this.demo.process.kill('SIGTERM');
    return this.demo.done;
  }
}

/**
 * Puts the proxy in front of a server. A client of the returned proxy reaches the server, and must see no difference.
 *
 * @param ports Where the servers listen, on the loopback.
 * @param args More of the proxy's own options.
 */
export async function throughProxy(ports: number | readonly number[], ...args: string[]): Promise<RunningProxy> {
  const proxy = new RunningProxy([ports].flat(), args);
  await proxy.until(({ port }) => port > 0, 'listening');
  return proxy;
}

/** Whether the demos run behind a proxy. Then the proxy is the peer of their connections, in place of the clients. */
export const proxied = Boolean(process.env.THROUGH_PROXY);

/**
 * The port of a server, or that of a proxy in front of it if `THROUGH_PROXY` is in the environment. The specs of the other
 * demos must pass with and without the proxy.
 */
export async function frontOf(port: number): Promise<number> {
  return proxied && port > 0
    ? (await throughProxy(port, '--concurrency', '20000', '--check-interval', '100000')).port
    : port;
}
