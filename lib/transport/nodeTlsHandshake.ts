import type { EventEmitter } from 'node:events';
import { TLSSocket } from 'node:tls';
import type { Handle } from './handle.ts';
import { handles } from './nodeInternals.ts';
import {
  closedByNode,
  fitsTls,
  learnt,
  OWNER,
  ownSecured,
  type SecureHandle,
  type SecureOwner,
  type TlsWrap,
} from './nodeTlsInternals.ts';

/**
 * How a server's handshake begins without a `TLSSocket`, and without the `net.Socket` beneath it, which cost more than all that a
 * handshake needs besides cryptography. It continues the facts in `nodeTlsInternals.ts`:
 *
 * 15. `_wrapHandle(null, handle, false)` of a `TLSSocket` makes the wrap of a handle by its `_tlsOptions`, and then
 *     `_init(null, emitter)` prepares it. They and Node's functions on the wrap need only what {@link BareSocket} has.
 * 16. All sockets of one `tls.Server` have the same `_tlsOptions` and the same listeners. `secure` finds out whether the peer's
 *     certificate is accepted, and destroys the socket, or the server emits `secureConnection` with it. `_tlsError` and `close`
 *     make the server emit `tlsClientError` once, unless it has emitted `secureConnection`.
 * 17. `receive` of the wrap takes bytes that were read before. A handle that reads goes on, and what it reads goes to the wrap.
 *
 * What cannot be done without a `TLSSocket` is left to it: the trace of Node, the log of keys, and callbacks that are passed it.
 */

/** What all sockets of one server have. */
export interface BareServer {
  readonly options: object;
  readonly secure: Listener;
  readonly tlsError: Listener;
  readonly close: Listener;
}

type Listener = (this: object, ...values: unknown[]) => void;

interface Internals {
  readonly _tlsOptions?: Readonly<Record<string, unknown>>;
  _wrapHandle(wrap: null, handle: object | null, isWriting: boolean): TlsWrap & { receive?(bytes: Uint8Array): void };
  _init(socket: null, wrap: object): void;
}

/** The object that a handshake notifies. */
export interface HandshakeOwner extends SecureOwner {
  secured(): void;
  /** By the event `tlsClientError`. */
  handshakeFailed(error: Error): void;
}

const methods = TLSSocket.prototype as unknown as Internals;

/** Whether options of the process ask for what a {@link BareSocket} does not do. */
const isLogged = /--(trace-tls|tls-keylog)/.test([...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' '));

/** Whether handshakes need no `TLSSocket` in this release of Node, and with the options of the process. */
export function canBeBare(): boolean {
  isPossible ??= !isLogged && handles() !== undefined && typeof methods._wrapHandle === 'function';
  return isPossible;
}

let isPossible: boolean | undefined;

/**
 * Learns what the sockets of a server have.
 *
 * @param socket One of them, that the server has emitted.
 * @param server An object that behaves as the server.
 * @returns `undefined` if anything has another shape.
 */
export function learnServer(socket: TLSSocket, server: object): BareServer | undefined {
  const { _tlsOptions: options } = socket as unknown as Internals;
  if (options?.isServer !== true || options.enableTrace || options.pskCallback) return undefined;
  const listenersOf = (event: string) => (socket as EventEmitter).listeners(event) as Listener[];
  const [secure, ...others] = listenersOf('secure');
  const [tlsError] = listenersOf('_tlsError');
  const close = listenersOf('close').find(({ name }) => name === 'onSocketClose');
  if (!secure || others.length > 0 || !tlsError || !close) return undefined;
  const learnt = { options: { ...options, server: outcomeOf(server) }, secure, tlsError, close };
  return works(learnt) ? learnt : undefined;
}

/** Tries a handle that is never connected. */
function works(server: BareServer): boolean {
  try {
    const socket = new BareSocket(server, null, undefined as never);
    const { _handle: tls } = socket;
    const { _parent: raw, receive } = tls as TlsWrap & { _parent?: Handle; receive?: unknown };
    const fits = fitsTls(tls) && handles()?.fits(raw) === true && typeof receive === 'function';
    raw?.close(() => (socket as { _destroySSL?(): void })._destroySSL?.());
    return fits;
  } catch {
    return false;
  }
}

const ignore = { on: () => undefined };

/** Stands for a `TLSSocket`, with what Node's functions on a wrap use of it. The rest that it inherits must not be used. */
class BareSocket {
  readonly _tlsOptions: object;
  _handle: TlsWrap | null = null;
  ssl: TlsWrap | null = null;
  destroyed = false;
  server: object | undefined;
  readonly encrypted = true;
  connecting = false;
  authorized = false;
  authorizationError: unknown = null;
  servername: string | false | null = null;
  alpnProtocol: string | false | null = null;
  secureConnecting = true;
  _secureEstablished = false;
  _securePending = false;
  _newSessionPending = false;
  _controlReleased = false;
  _hadError = false;
  _SNICallback: unknown = null;
  readonly #server: BareServer;
  [OWNER]: SecureOwner | undefined;

  static {
    Object.setPrototypeOf(BareSocket.prototype, TLSSocket.prototype);
  }

  /** @param handle If it is `null`, Node makes one. */
  constructor(server: BareServer, handle: Handle | null, owner: HandshakeOwner) {
    this.#server = server;
    this._tlsOptions = server.options;
    this[OWNER] = owner;
    this._handle = this.ssl = methods._wrapHandle.call(this, null, handle, false);
    methods._init.call(this, null, ignore);
  }

  // What Node calls ------------------------------------------------------------------------------------------------------

  emit(event: string, value?: unknown): boolean {
    if (event === 'secure') this.#server.secure.call(this);
    else if (event === '_tlsError') this.#server.tlsError.call(this, value);
    else if (event === 'error') this[OWNER]?.tlsFailed(value as Error);
    return true;
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    if (this._controlReleased) this[OWNER]?.tlsFailed(error ?? closedByNode());
    else if (error) this.emit('_tlsError', error);
    else this.#server.close.call(this);
    return this;
  }

  on(): this {
    return this;
  }
  once(): this {
    return this;
  }
  removeListener(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  listenerCount(): number {
    return 0;
  }
}

/** An object that behaves as the server of bare sockets: passes the outcome of a handshake on to the owner of its socket. */
function outcomeOf(server: object): object {
  const ownerOf = (socket: unknown) => (socket as BareSocket)[OWNER] as HandshakeOwner | undefined;
  const emit = (event: string, first: unknown, second: unknown): boolean => {
    if (event === 'secureConnection') ownerOf(first)?.secured();
    else if (event === 'tlsClientError') ownerOf(second)?.handshakeFailed(first as Error);
    return true;
  };
  return Object.create(server, { emit: { value: emit } });
}

/**
 * Makes the wrap of a handle. If the handle reads, it goes on.
 *
 * @param owner Not notified before {@link beginHandshake}.
 */
export function wrapHandle(server: BareServer, handle: Handle, owner: HandshakeOwner): SecureHandle {
  const socket = new BareSocket(server, handle, owner);
  const { key } = learnt();
  const { _handle: tls } = socket;
  if (!fitsTls(tls)) throw new Error('Cannot begin the handshake: Node has changed');
  (tls as Record<symbol, unknown>)[key] = socket;
  const secure = { tls, raw: handle, socket: socket as unknown as TLSSocket };
  ownSecured(secure, owner);
  return secure;
}

/**
 * @param read What was read from the handle before.
 * @param isReading The handle reads: to stop and to start again would cost system calls.
 */
export function beginHandshake({ tls }: SecureHandle, read: Uint8Array, isReading: boolean): void {
  (tls as { receive?(bytes: Uint8Array): void }).receive?.(read);
  if (!isReading) tls.readStart();
}

/** Ends a handshake as Node does when the peer closes the connection, or when reading fails. `handshakeFailed` is called. */
export const endHandshake = ({ socket }: SecureHandle, error?: Error): void => void socket.destroy(error);
