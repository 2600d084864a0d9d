import { EventEmitter } from 'node:events';
import { isIP, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  createServer,
  type TlsOptions as NodeTlsOptions,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import { isObservable } from 'rxjs';
import { TlsError } from '../errors.ts';
import { type Check, describe } from '../options.ts';
import { type BareServer, canBeBare, learnServer } from '../transport/nodeTlsHandshake.ts';
import { tlsError } from './tlsError.ts';

/** What `node:tls` takes for a server, without what belongs to the port. */
export type TlsOptions = Omit<
  NodeTlsOptions,
  | 'handshakeTimeout'
  | 'allowHalfOpen'
  | 'pauseOnConnect'
  | 'noDelay'
  | 'keepAlive'
  | 'keepAliveInitialDelay'
  | 'highWaterMark'
>;

/** What `node:tls` takes for a client, without what belongs to the socket. */
export type TlsClientOptions = Omit<
  ConnectionOptions,
  'host' | 'port' | 'path' | 'socket' | 'allowHalfOpen' | 'timeout' | 'lookup'
>;

/** Options for a server, or an Observable of them. */
export const tlsOptions: Check = (value) =>
  isObservable(value) ? undefined : wrongTls(value, () => nodeServer(value as TlsOptions));

/** Options for a client; `true` for the defaults. */
export const tlsClientOptions: Check = (value) =>
  value === true ? undefined : wrongTls(value, () => createSecureContext(value as SecureContextOptions));

function wrongTls(value: unknown, use: () => unknown): string | undefined {
  if (typeof value !== 'object' || value === null)
    return `must be an object with what node:tls takes, not ${describe(value)}`;
  try {
    use();
    return undefined;
  } catch (error) {
    return `must be what node:tls takes, which says: ${error instanceof Error ? error.message : describe(error)}`;
  }
}

/** Is notified of the end of a handshake: one of both, once. */
export interface HandshakeHandler {
  secured(socket: TLSSocket): void;
  failed(error: Error): void;
}

/** One side of TLS, with its certificates and settings: begins handshakes. */
export interface TlsSide {
  /**
   * Begins a handshake on a connected socket, which is paused. Bytes that were read from it before can be in its buffer.
   * Destroying the socket ends the handshake.
   */
  begin(raw: Socket, handler: HandshakeHandler): void;
  /** What handshakes on handles need; `undefined` if that is not known, or not yet. */
  readonly bare?: BareServer | undefined;
}

/** The longest timeout of Node. The library has a deadline of its own for a handshake. */
const NEVER = 0x7fffffff;

/** The server's side. @throws Node's error for options that `node:tls` does not take. */
export function tlsServer(options: TlsOptions): TlsSide {
  const server = nodeServer(options);
  let bare: BareServer | undefined;
  const begin = (raw: Duplex, emit: Emit) => {
    // Node documents that a connection can be passed to the server by this event. The outcome is emitted on the same object, and
    // names the socket of TLS, but not the one beneath. So each connection has an object that inherits from the server.
    EventEmitter.prototype.emit.call(Object.create(server, { emit: { value: emit } }), 'connection', raw);
  };
  if (canBeBare()) {
    const raw = new Duplex({ read() {}, write() {} });
    try {
      begin(raw, (event, _error, socket) => {
        if (event === 'tlsClientError') bare = learnServer(socket as TLSSocket, server);
        return true;
      });
    } catch {
      // Options that Node checks only for each connection. Each connection is refused for them.
    }
    // A socket of TLS is named once it is closed.
    raw.destroy();
  }
  return {
    begin: (raw, handler) => begin(raw, outcomeTo(handler)),
    get bare() {
      return bare;
    },
  };
}

const nodeServer = (options: TlsOptions): Server => createServer({ ...options, handshakeTimeout: NEVER });

type Emit = (event: string, ...values: unknown[]) => boolean;

function outcomeTo(handler: HandshakeHandler): Emit {
  return (event, first, second) => {
    if (event === 'secureConnection') handler.secured(first as TLSSocket);
    else if (event === 'tlsClientError') handler.failed(refused(first as Error, second as TLSSocket));
    return true;
  };
}

/** Node ends the connection of a client whose certificate it does not accept, as if the client had hung up. */
export function refused(error: Error, { authorizationError }: TLSSocket): Error {
  if (!authorizationError) return tlsError(error);
  const code = String(authorizationError);
  return new TlsError(`the client's certificate is not accepted: ${code}`, { code, cause: error });
}

/**
 * The client's side.
 *
 * @param host The name that the server's certificate must have, unless the options have a `servername` or check otherwise.
 */
export function tlsClient(options: TlsClientOptions, host: string | undefined): TlsSide {
  const name = host !== undefined && isIP(host) === 0 ? { servername: host } : {};
  return {
    begin(raw, handler) {
      const socket = connect({ ...(host !== undefined && { host }), ...name, ...options, socket: raw });
      const fail = (error: Error) => handler.failed(tlsError(error));
      socket.once('error', fail);
      socket.once('secureConnect', () => {
        socket.off('error', fail);
        handler.secured(socket);
      });
    },
  };
}
