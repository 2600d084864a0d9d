import { connect as dial, type ListenOptions, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, connect as secure, type TlsOptions } from 'node:tls';
import { certificate } from './certificate.ts';

export * from 'node:net';

const { ca, cert, key } = await certificate;

/** As that of `node:net`, over TLS: it emits `connect` when it is secured, and its reset is that of the connection. */
export function connect(...how: Parameters<typeof dial>): Socket {
  const [where, host] = how as unknown[];
  const callback = how.find((one) => typeof one === 'function') as (() => void) | undefined;
  const options = (
    typeof where === 'object' ? where : { port: where, host: typeof host === 'string' ? host : 'localhost' }
  ) as NetConnectOpts;
  const raw = dial(options);
  const socket = secure({ ca, servername: 'localhost', socket: raw });
  emitWhenSecured(socket, 'connect', 'secureConnect');
  socket.resetAndDestroy = () => {
    raw.resetAndDestroy();
    return socket;
  };
  if (callback) socket.on('connect', callback);
  return socket;
}

/** As that of `node:net`, over TLS: it emits `connection` when it is secured. */
export function createServer(...how: (object | ((socket: Socket) => void))[]): Server {
  const options = how.find((one) => typeof one === 'object') as TlsOptions | undefined;
  const server = createTlsServer({ ...options, cert, key });
  emitWhenSecured(server, 'connection', 'secureConnection');
  const listener = how.find((one) => typeof one === 'function');
  if (listener) server.on('connection', listener as (socket: Socket) => void);
  return server;
}

/** Listeners that are added from now on for one event receive the other one. */
function emitWhenSecured(emitter: Socket | Server, event: string, when: string): void {
  for (const name of ['on', 'once', 'off', 'addListener', 'removeListener'] as const) {
    const original = emitter[name] as (event: string, ...rest: unknown[]) => unknown;
    emitter[name] = ((to: string, ...rest: unknown[]) =>
      original.call(emitter, to === event ? when : to, ...rest)) as never;
  }
}

export type { ListenOptions };
