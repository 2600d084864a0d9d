import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import { interval, type SchedulerLike, type Subscriber, Subscription } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import type { Address } from '../transport/transport.ts';
import type { AdminEvent, AdminRefusedEvent } from './events.ts';
import { Guard } from './guard.ts';
import { Guests } from './guests.ts';
import { LivePages } from './livePages.ts';
import { Monitor } from './monitor.ts';
import type { AdminOptions } from './options.ts';
import { type PageFile, readPage } from './pageFiles.ts';
import { RequestError } from './requestError.ts';
import { type Drain, routes } from './routes.ts';

/**
 * The limits of the port. It has few users, and must not be a way to exhaust the process. A client that does not send its request in
 * time, or does not read the answer, is closed.
 */
const LIMITS = {
  /** Connections that have not shown the token. Those with it are not counted: live pages cannot keep out a probe either. */
  guests: 64,
  /** Bytes of all headers of a request. */
  headers: 8192,
  /** Milliseconds that a request may take from its first byte to its last. */
  request: 5000,
  /** Milliseconds in which a connection neither sends nor takes anything. */
  silence: 30_000,
  /** Milliseconds that connections may last once the server has ended. */
  end: 1000,
} as const;

/** The time between two samples, in milliseconds. */
const SAMPLE = 1000;

const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
} as const;

type Given = Omit<AdminOptions, 'scheduler'>;

/** The admin port of one server, from the begin of its events to their end. */
export class AdminServer {
  readonly #given: Given;
  readonly #clock: SchedulerLike;
  readonly #to: Subscriber<AdminEvent>;
  readonly #token: string;
  readonly #guard: Guard;
  readonly #monitor: Monitor;
  readonly #pages: LivePages;
  readonly #drain: Drain = { isAsked: false };
  readonly #http: Server;
  readonly #guests = new Guests(LIMITS.guests);
  /** The samples, and at the end the time that connections have left. */
  #timers = new Subscription();
  readonly #toldAt = new Map<AdminRefusedEvent['reason'], { at: number; more: number }>();
  #failedAt = Number.NEGATIVE_INFINITY;
  #files: ReadonlyMap<string, PageFile> = new Map();
  #phase: 'new' | 'opening' | 'open' | 'ending' | 'closed' = 'new';

  constructor(given: Given, clock: SchedulerLike, to: Subscriber<AdminEvent>) {
    const { host = '127.0.0.1', names = [], token = randomBytes(32).toString('base64url'), viewers = 8 } = given;
    this.#given = given;
    this.#clock = clock;
    this.#to = to;
    this.#token = token;
    this.#guard = new Guard([host, ...names], token);
    const ahead = Date.now() - clock.now();
    const now = () => ahead + clock.now();
    this.#monitor = new Monitor(now);
    this.#pages = new LivePages(this.#monitor, given, viewers, now, (error) => this.#reportFailure(error));
    const { headers: maxHeaderSize, request } = LIMITS;
    const times = { requestTimeout: request, headersTimeout: request, connectionsCheckingInterval: 1000 };
    this.#http = createServer({ maxHeaderSize, ...times }, (request, response) => void this.#answer(request, response));
    this.#http.on('connection', (socket) => this.#guests.add(socket));
    this.#http.timeout = LIMITS.silence;
  }

  /** Reads the page, and opens the port. */
  open(): void {
    // The server may have ended already.
    if (this.#phase !== 'new') return;
    this.#phase = 'opening';
    const { port, host = '127.0.0.1' } = this.#given;
    this.#http.on('error', (error) => this.#failed(error));
    void readPage().then((files) => {
      this.#files = files;
      if (this.#phase === 'closed') return;
      this.#http.listen({ port, host }, () => this.#listening());
    });
  }

  see(event: ServerEvent): void {
    this.#monitor.see(event);
    // What an operator waits for is shown at once.
    if (event.type === 'listening' || event.type === 'draining' || event.type === 'drained') this.#pages.tick();
  }

  /** The server has ended: open pages are told, and the port is closed. */
  end(): void {
    this.#monitor.end();
    this.#timers.unsubscribe();
    this.#pages.end();
    const before = this.#phase;
    if (before === 'closed') return;
    this.#phase = 'ending';
    if (before === 'new') this.#to.complete();
    if (before === 'open') this.#closeSoon();
  }

  /** Closes the port and all its connections at once. */
  close(): void {
    this.#phase = 'closed';
    this.#timers.unsubscribe();
    this.#pages.stop();
    this.#http.close();
    this.#http.closeAllConnections();
  }

  #listening(): void {
    if (this.#phase === 'closed') {
      this.#http.close();
      return;
    }
    const { address, port } = this.#http.address() as AddressInfo;
    const isExposed = !isLoopback(address);
    const url = `http://${urlHost(address)}:${port}/#token=${this.#token}`;
    const isEnding = this.#phase === 'ending';
    if (!isEnding) this.#phase = 'open';
    if (!isEnding) this.#timers.add(interval(SAMPLE, this.#clock).subscribe(() => this.#pages.tick()));
    this.#to.next({ type: 'listening', address: { address, port }, url, token: this.#token, isExposed });
    if (isEnding) this.#closeSoon();
  }

  #closeSoon(): void {
    this.#http.close(() => this.#to.complete());
    this.#http.closeIdleConnections();
    this.#timers = this.#clock.schedule(() => this.#http.closeAllConnections(), LIMITS.end);
  }

  #failed(error: unknown): void {
    if (this.#phase === 'closed') return;
    // Afterwards it is an accept that failed, such as for want of a descriptor.
    if (this.#http.listening) this.#reportFailure(error);
    else this.#to.error(error);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const peer: Address = { address: request.socket.remoteAddress, port: request.socket.remotePort };
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    // A client that leaves, or is cut off, is no failure.
    response.on('error', () => {});
    try {
      const [, path = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(request.url ?? '') ?? [];
      const route = routes.get(path);
      const access = route?.access ?? 'token';
      // Anyone may send such requests: a connection is not kept for a further one.
      response.setHeader('Connection', 'close');
      this.#guard.check(request.headers, access);
      if (access === 'token') {
        response.removeHeader('Connection');
        response.on('close', this.#guests.trust(request.socket));
      }
      if (route === undefined) throw new RequestError(404, 'missing', `There is no ${path.slice(0, 100)}`);
      const { method = 'GET' } = request;
      const isAllowed = method === route.method || (method === 'HEAD' && route.method === 'GET');
      if (!isAllowed) {
        const allowed = route.method === 'GET' ? 'GET, HEAD' : route.method;
        throw new RequestError(405, 'method', `${path} is for ${route.method}`, { Allow: allowed });
      }
      await route.answer({
        request,
        response,
        path,
        query: new URLSearchParams(query),
        peer,
        given: this.#given,
        monitor: this.#monitor,
        pages: this.#pages,
        files: this.#files,
        drain: this.#drain,
        emit: (event) => this.#to.next(event),
        failed: (error) => this.#reportFailure(error),
      });
    } catch (error) {
      this.#refuse(response, error, peer);
    }
  }

  #refuse(response: ServerResponse, error: unknown, peer: Address): void {
    const { status, reason, message, headers } = asRequestError(error);
    if (status === 500) this.#reportFailure(error);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (reason === 'host' || reason === 'origin' || reason === 'token' || reason === 'viewers')
      this.#tell(reason, peer);
    const text = JSON.stringify({ error: { reason, message } });
    response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers });
    response.end(`${text}\n`);
  }

  /** At most once a second: a client without the token may ask for metrics that fail, at any rate. */
  #reportFailure(error: unknown): void {
    const now = this.#clock.now();
    if (now - this.#failedAt < 1000) return;
    this.#failedAt = now;
    this.#to.next({ type: 'failed', error });
  }

  #tell(reason: AdminRefusedEvent['reason'], peer: Address): void {
    const now = this.#clock.now();
    const last = this.#toldAt.get(reason);
    if (last !== undefined && now - last.at < 1000) {
      last.more++;
      return;
    }
    this.#toldAt.set(reason, { at: now, more: 0 });
    this.#to.next({ type: 'refused', reason, peer, more: last?.more ?? 0 });
  }
}

function asRequestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  return new RequestError(500, 'failed', 'The request failed: the event failed of the admin port has the error');
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const isLoopback = (address: string): boolean => loopback.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** As it is written in a URL. An address that stands for all addresses is replaced by the loopback one. */
function urlHost(address: string): string {
  const reachable = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  return reachable.includes(':') ? `[${reachable}]` : reachable;
}
