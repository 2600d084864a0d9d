import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { Watched } from './watched.ts';

/** A client with a real socket, and what it has seen. */
export class Client extends Watched {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  /** Bytes that have come. */
  received = 0;
  connected = false;
  /** The server's FIN has come. */
  ended = false;
  /** It is over, in good order or not. */
  closed = false;
  /** What broke it: `ECONNRESET`, `EPIPE`, `ECONNREFUSED` … */
  fault: string | undefined;

  constructor(where: NetConnectOpts) {
    super();
    this.socket = connect(where);
    this.socket.on('connect', () => this.#set({ connected: true }));
    this.socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#set({ received: this.received + chunk.length });
    });
    this.socket.on('end', () => this.#set({ ended: true }));
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.#set({ fault: error.code ?? error.message }));
    this.socket.on('close', () => this.#set({ closed: true }));
  }

  #set(news: Partial<Pick<Client, 'connected' | 'received' | 'ended' | 'closed' | 'fault'>>): void {
    Object.assign(this, news);
    this.changed();
  }

  /** All that has come, as UTF-8. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  write(data: string | Uint8Array): this {
    this.socket.write(data);
    return this;
  }

  end(): this {
    this.socket.end();
    return this;
  }

  /** Goes with a RST. */
  reset(): this {
    this.socket.resetAndDestroy();
    return this;
  }

  /** Waits until the connection is made. */
  whenConnected(): Promise<this> {
    return this.until((client) => client.connected, 'a connection');
  }

  /** Waits for a text. */
  whenRead(text: string): Promise<this> {
    return this.until((client) => client.text.includes(text), `the text ${JSON.stringify(text)}`);
  }

  /** Waits for the end, good or bad. */
  whenClosed(within?: number): Promise<this> {
    return this.until((client) => client.closed, 'the end of the connection', within);
  }
}

const open = new Set<Client>();

/** Connects to a port of the loopback, or to the path of a unix socket. */
export function client(where: number | string): Client {
  const made = new Client(typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where });
  open.add(made);
  made.socket.on('close', () => open.delete(made));
  return made;
}

/** Many of them. */
export const clients = (count: number, where: number | string): Client[] =>
  Array.from({ length: count }, () => client(where));

/** For `afterEach`: no client outlives its spec. */
export function closeClients(): void {
  for (const one of open) one.socket.destroy();
  open.clear();
}
