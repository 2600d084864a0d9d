import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { map, type Observable, Subject, type Subscription, share } from 'rxjs';
import { type AdminEvent, type AdminOptions, admin } from '../../lib/admin/index.ts';
import { encodeLine, type Handler, lines, type ServeOptions, serve } from '../../lib/index.ts';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from './clock.ts';
import { EventLog } from './eventLog.ts';
import { Log } from './log.ts';

/** The answer to a request. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Sends a request with any headers, `Host` included, which `fetch` does not allow. */
export function ask(
  port: number,
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: OutgoingHttpHeaders; body?: string | undefined } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const echo: Handler = (connection) => connection.pipe(lines(), map(encodeLine));

const open = new Set<AdminPort>();

/** For `afterEach`: closes the ports that are open. */
export function closeAdminPorts(): void {
  for (const port of open) port.close();
  open.clear();
}

/** What an admin port says. */
export class AdminLog extends EventLog<AdminEvent> {
  static follow(events: Observable<AdminEvent>): { log: AdminLog; subscription: Subscription } {
    const log = new AdminLog();
    return { log, subscription: events.subscribe(log) };
  }

  /** Waits until the port is open. @returns Its number. */
  async whenListening(): Promise<number> {
    await this.until((log) => log.of('listening').length > 0 || log.fault !== undefined, 'listening');
    if (this.fault !== undefined) throw this.fault;
    return this.of('listening')[0]?.address.port ?? 0;
  }
}

/** How to open an {@link AdminPort}. */
export interface Opening {
  readonly options?: Partial<AdminOptions>;
  readonly serving?: ServeOptions;
  readonly handler?: Handler;
}

/** An admin port on the loopback, of a server in memory and on virtual time. */
export class AdminPort {
  readonly clock = new Clock();
  readonly network = new MemoryNetwork(this.clock);
  readonly shutdown = new Subject<void>();
  readonly log: AdminLog;
  readonly server: Log;
  readonly #subscription: Subscription;
  port = 0;

  private constructor({ options = {}, serving = {}, handler = echo }: Opening) {
    const { clock: scheduler, shutdown } = this;
    const given = { transport: this.network.transport, scheduler, shutdown, ...serving };
    const events = serve({ port: 0 }, handler, given).pipe(share());
    const { log, subscription } = AdminLog.follow(admin(events, { port: 0, scheduler, ...options }));
    this.log = log;
    this.#subscription = subscription;
    this.server = Log.follow(events);
    open.add(this);
  }

  /** One that listens, of a server that listens. */
  static async open(opening: Opening = {}): Promise<AdminPort> {
    const made = await AdminPort.beforeListening(opening);
    await made.clock.settle();
    return made;
  }

  /** One that listens, of a server that does not yet. */
  static async beforeListening(opening: Opening = {}): Promise<AdminPort> {
    const made = new AdminPort(opening);
    made.port = await made.log.whenListening();
    return made;
  }

  close(): void {
    this.#subscription.unsubscribe();
    this.server.subscription?.unsubscribe();
  }

  get token(): string {
    return this.log.of('listening')[0]?.token ?? '';
  }

  /** A client that the server has accepted, from an address. */
  async connect(address = '192.0.2.1', port = 1024): Promise<MemoryClient> {
    const client = this.network.connect({ address: { address, port } });
    await this.clock.settle();
    return client;
  }

  /** A request with the token. */
  get(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return ask(this.port, path, { headers: { authorization: `Bearer ${this.token}`, ...headers } });
  }

  /** An action. @returns The status and the JSON of the answer. */
  async post(path: string, body: unknown, headers: OutgoingHttpHeaders = {}) {
    const all = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json', ...headers };
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await ask(this.port, path, { method: 'POST', headers: all, body: text });
    return { status: answer.status, ...JSON.parse(answer.text) };
  }

  /** The JSON at a path. */
  // biome-ignore lint/suspicious/noExplicitAny: it is what the spec expects.
  async json(path: string): Promise<any> {
    return JSON.parse((await this.get(path)).text);
  }
}
