import { connect as dial, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, connect as secure, type TLSSocket, type TlsOptions } from 'node:tls';
import { fromEvent, merge, take } from 'rxjs';
import { clientOptions, serverOptions } from './certificate.ts';

export * from 'node:net';

/** As that of `node:net`, over TLS. */
export function connect(...how: Parameters<typeof dial>): Socket {
  const [where, host] = how as unknown[];
  const address = { port: where, host: typeof host === 'string' ? host : 'localhost' };
  const raw = dial((typeof where === 'object' ? where : address) as NetConnectOpts);
  const socket = secure({ ...clientOptions, servername: 'localhost', socket: raw });
  // A client is secured half a round trip before its server, which then sends the tickets of sessions, or `close_notify`.
  const signs = merge(fromEvent(socket, 'session'), fromEvent(socket, 'end'));
  // OpenSSL is still within a read when Node emits this.
  signs.pipe(take(1)).subscribe(() => setImmediate(() => socket.emit(CONNECTED)));
  rename(socket, 'connect', CONNECTED);
  const listener = how.find((one) => typeof one === 'function');
  if (listener) socket.on('connect', listener);
  return withReset(socket, raw);
}

const CONNECTED = 'connected on both sides';

/** As that of `node:net`, over TLS. With `pauseOnConnect` it closes connections as one does that reads nothing: with a RST. */
export function createServer(...how: (TlsOptions | ((socket: Socket) => void))[]): Server {
  const options = how.find((one) => typeof one === 'object');
  // Nothing may wait until the tickets of sessions are acknowledged: a reset would discard it.
  const server = createTlsServer({ noDelay: true, ...options, ...serverOptions });
  rename(server, 'connection', 'secureConnection');
  server.on('connection', (socket: TLSSocket & { _parent: Socket }) => {
    withReset(socket, socket._parent);
    if (options?.pauseOnConnect) socket.destroy = () => socket.resetAndDestroy();
  });
  const listener = how.find((one) => typeof one === 'function');
  if (listener) server.on('connection', listener);
  return server;
}

/** The socket of TLS cannot be reset, but the one beneath can. */
function withReset(socket: Socket, raw: Socket): Socket {
  socket.resetAndDestroy = () => {
    // Node 26 emits EINVAL on the socket of TLS when the one beneath is reset.
    socket.removeAllListeners('error').on('error', () => undefined);
    raw.resetAndDestroy();
    return socket;
  };
  return socket;
}

/** Listeners that are added from now on for one event receive another one. */
function rename(emitter: Socket | Server, event: string, as: string): void {
  for (const name of ['on', 'once', 'off', 'addListener', 'removeListener'] as const) {
    const original = emitter[name] as (event: string, ...rest: unknown[]) => unknown;
    emitter[name] = ((to: string, ...rest: unknown[]) =>
      original.call(emitter, to === event ? as : to, ...rest)) as never;
  }
}
