import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Accepting, type ListeningHandle } from '../../lib/transport/nodeListening.ts';

/** A listening TCP socket that this process holds open and accepts nothing on, as systemd does for a socket unit. */
export class HeldSocket {
  readonly #server: Server;
  readonly #accepting: Accepting;
  /** Its descriptor, for a process that inherits it. */
  readonly fd: number;

  private constructor(server: Server) {
    const handle = (server as unknown as { _handle: ListeningHandle & { fd: number } })._handle;
    this.#server = server;
    this.fd = handle.fd;
    this.#accepting = new Accepting(handle);
    if (!this.#accepting.pause()) throw new Error('This release of Node cannot hold a socket without accepting');
  }

  static async open(): Promise<HeldSocket> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HeldSocket(server);
  }

  /** Its TCP port. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#accepting.close();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
