import { constants, createPrivateKey } from 'node:crypto';
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
import { type Check, describe, isBytes } from '../options.ts';
import { type BareServer, canBeBare, learnServer } from '../transport/nodeTlsHandshake.ts';
import { certificatesIn } from './pem.ts';
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

const inBun = () =>
  process.versions.bun === undefined
    ? undefined
    : 'cannot be used in Bun, where node:tls serves no socket that it is passed';

/** Options for a server. */
export const tlsServerOptions: Check = (value) => inBun() ?? wrongTls(value, () => nodeServer(value as TlsOptions));

/** Options for a server, or an Observable of them. */
export const tlsOptions: Check = (value) => (isObservable(value) ? inBun() : tlsServerOptions(value));

/** Options for a client; `true` for the defaults. */
export const tlsClientOptions: Check = (value) =>
  value === true ? undefined : wrongTls(value, () => createSecureContext(value as SecureContextOptions));

/** The value is never shown, because it may contain a private key. */
function wrongTls(value: unknown, use: () => unknown): string | undefined {
  try {
    checkContents(value);
    use();
    return undefined;
  } catch (error) {
    return `must be what node:tls takes: ${error instanceof Error ? error.message : describe(error)}`;
  }
}

/** What a user may pass by mistake, and Node either accepts or describes in words of OpenSSL. */
function checkContents(options: unknown): asserts options is TlsOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options) || 'then' in options) {
    throw new TypeError(`it must be an object of options, not ${Array.isArray(options) ? 'an array' : typeof options}`);
  }
  for (const name of ['cert', 'key', 'ca'] as const) {
    for (const one of [(options as TlsOptions)[name]].flat()) {
      if (typeof one === 'string' && !one.includes('-----BEGIN'))
        throw new TypeError(`${name} must be the contents of a PEM file, and not its path: see certificates()`);
    }
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

/**
 * A peer that begins a further handshake on a connection, as it can up to TLS 1.2, costs CPU time at will, and is answered in the
 * middle of a write. As in Go and in TLS 1.3, there is none: OpenSSL declines with the alert `no_renegotiation`.
 */
const withoutRenegotiation = ({ secureOptions = 0 }: Pick<SecureContextOptions, 'secureOptions'>) => ({
  secureOptions: secureOptions | constants.SSL_OP_NO_RENEGOTIATION,
});

/** The longest timeout of Node. The library has a deadline of its own for a handshake. */
const NEVER = 0x7fffffff;

/**
 * The server's side.
 *
 * @throws Node's error for options that `node:tls` does not take.
 * @throws TypeError if there is no certificate, or a path where the contents of a file belong.
 * @throws Error if the key of a certificate is missing.
 */
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

/** Node's server, whose options are checked. */
function nodeServer(options: TlsOptions): Server {
  checkContents(options);
  const { cert, key, pfx, SNICallback, pskCallback } = options;
  if (!(cert && key) && !pfx && !SNICallback && !pskCallback)
    throw new TypeError('there must be a cert and its key, a pfx, an SNICallback or a pskCallback');
  const server = createServer({ ...options, ...withoutRenegotiation(options), handshakeTimeout: NEVER });
  checkKeys(options);
  return server;
}

/** Node notices the wrong key only if it is of the certificate's type. With one of another type every handshake would fail. */
function checkKeys({ cert, key, passphrase }: TlsOptions): void {
  if (cert === undefined || key === undefined) return;
  const keys = [key].flat().map((one) => {
    const [pem, own] = typeof one === 'string' || isBytes(one) ? [one] : [one.pem, one.passphrase];
    const secret = own ?? passphrase;
    return createPrivateKey({ key: pem as string | Buffer, ...(secret !== undefined && { passphrase: secret }) });
  });
  for (const chain of [cert].flat()) {
    const [certificate] = certificatesIn(chain);
    if (certificate && !keys.some((one) => certificate.checkPrivateKey(one)))
      throw new Error(`no key belongs to the certificate of ${certificate.subject}`);
  }
}

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
  const { checkServerIdentity: check } = options;
  const checked = check && { checkServerIdentity: orError(check) };
  return {
    begin(raw, handler) {
      const own = { ...name, ...options, ...withoutRenegotiation(options), ...checked, socket: raw };
      const socket = connect({ ...(host !== undefined && { host }), ...own });
      const fail = (error: Error) => handler.failed(tlsError(error));
      socket.once('error', fail);
      socket.once('secureConnect', () => {
        socket.off('error', fail);
        handler.secured(socket);
      });
    },
  };
}

/** Node does not catch what a check throws. Here it is what the check has found wrong. */
function orError(check: CheckServerIdentity): CheckServerIdentity {
  return (host, certificate) => {
    try {
      return check(host, certificate);
    } catch (error) {
      return error instanceof Error ? error : new Error(`the check of the server's identity threw ${describe(error)}`);
    }
  };
}

type CheckServerIdentity = NonNullable<ConnectionOptions['checkServerIdentity']>;
