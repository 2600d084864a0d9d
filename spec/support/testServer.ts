import { identity, Subject } from 'rxjs';
import type { Transport, TransportSocket } from '../../lib/index.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { type MemoryClient, type MemoryClientOptions, MemoryNetwork } from '../../lib/testing/index.ts';
import { accepting } from './accepting.ts';
import { Clock } from './clock.ts';
import { Log } from './log.ts';

/** A whole server in memory and on virtual time, which a spec can shut down. */
export class TestServer {
  readonly clock = new Clock();
  readonly network = new MemoryNetwork(this.clock);
  readonly shutdown = new Subject<unknown>();
  readonly log: Log;

  constructor(handler: Handler, options: ServeOptions = {}, over: (network: Transport) => Transport = identity) {
    const own = { transport: over(this.network.transport), scheduler: this.clock, shutdown: this.shutdown };
    this.log = Log.follow(serve({ port: 0 }, handler, { ...own, ...options }));
  }

  /** A server that is listening. */
  static async open(...how: ConstructorParameters<typeof TestServer>): Promise<TestServer> {
    const server = new TestServer(...how);
    await server.clock.settle();
    return server;
  }

  /** A client that the server has accepted. It does not answer the server's FIN by itself. */
  async connect(options?: MemoryClientOptions): Promise<MemoryClient> {
    const client = this.network.connect({ allowHalfOpen: true, ...options });
    await this.clock.settle();
    return client;
  }

  /** Several clients that the server has accepted. */
  async connectAll(count: number): Promise<MemoryClient[]> {
    const clients = Array.from({ length: count }, () => this.network.connect({ allowHalfOpen: true }));
    await this.clock.settle();
    return clients;
  }

  /** Sends the shutdown signal, and runs everything that is due at once. */
  async signal(): Promise<void> {
    this.shutdown.next('SIGTERM');
    await this.clock.settle();
  }
}

/** A transport whose sockets never call `freed`. */
export const unfreed = (transport: Transport): Transport =>
  accepting(transport, (socket, accept) => accept(neverFree(socket)));

function neverFree(socket: TransportSocket): TransportSocket {
  return new Proxy(socket, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set(target, key, value) {
      const kept =
        key === 'handler'
          ? new Proxy(value, { get: (to, name) => (name === 'freed' ? () => {} : bound(to, name)) })
          : value;
      return Reflect.set(target, key, kept, target);
    },
  });
}

function bound(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? value.bind(target) : value;
}
