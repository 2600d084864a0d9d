import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { Waitable } from './waitable.ts';

/** A client with a real socket, and what it has received. */
export class Client extends Waitable {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  /** How many bytes it has received. */
  received = 0;
  connected = false;
  /** Whether it has received the server's FIN. */
  ended = false;
  /** Whether the socket is closed, for whatever reason. */
  closed = false;
  /** The code of the error that closed it: `ECONNRESET`, `EPIPE`, `ECONNREFUSED` … */
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

  /** All bytes that it has received, as UTF-8. */
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

  /** Closes with a RST. */
  reset(): this {
    this.socket.resetAndDestroy();
    return this;
  }

  /** Waits until it is connected. */
  whenConnected(): Promise<this> {
    return this.until((client) => client.connected, 'a connection');
  }

  /** Waits until it has received a text. */
  whenRead(text: string): Promise<this> {
    return this.until((client) => client.text.includes(text), `the text ${JSON.stringify(text)}`);
  }

  /** Waits until the socket is closed. */
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

/** Connects several clients. */
export const clients = (count: number, where: number | string): Client[] =>
  Array.from({ length: count }, () => client(where));

/** For `afterEach`: closes the clients that are still open. */
export function closeClients(): void {
  for (const one of open) one.socket.destroy();
  open.clear();
}
