import type { TLSSocket } from 'node:tls';
import { isBytes } from '../options.ts';
import type { Handle, HandleOwner, Handles, Request, Written } from './handle.ts';
import { handles } from './nodeInternals.ts';
import { shape } from './shape.ts';
import { sharedBuffer } from './sharedBuffer.ts';

/**
 * What Sluice knows of Node's TLS and that Node does not document. It continues the facts in `nodeInternals.ts`:
 *
 * 7. A `TLSSocket` on a connected `net.Socket` has a `_handle`, the wrap, whose `_parent` is the handle beneath, and whose
 *    `_parentWrap` is the socket beneath. What it passes on to JavaScript after the handshake comes as in facts 3 and 4.
 * 8. The wrap has the members of {@link TlsWrap}, used as those of a handle. `bytesRead` and `bytesWritten` count what is
 *    decrypted, and `writeQueueSize` what is encrypted and not known to be sent. The handle beneath counts what is encrypted.
 * 9. A write encrypts its bytes within the call, or copies them, and passes what is encrypted on to the handle beneath, unless
 *    that is busy. It always completes later, in the check phase of the event loop at the earliest. A second write before that
 *    would abort the process. A write that fails may complete within the call.
 * 10. One read of the handle beneath can cause several calls of `onread`, which `readStop` does not keep from coming.
 * 11. After a FIN libuv reads no more, and would begin anew. So a handle beneath that still reads at the end of the input has
 *     received `close_notify`, and no FIN.
 * 12. `shutdown` sends `close_notify` and a FIN. While Node still passes on earlier bytes, such as tickets, it would send the FIN
 *     first. After these `writeQueueSize` is 0, and a write of no bytes completes.
 * 13. Node's functions on the wrap serve renegotiations, tickets and errors. They expect the `TLSSocket` under the symbol of fact 4.
 *     It emits an error of TLS as `error`, after the alert was sent, or is destroyed.
 * 14. Once the handle beneath is closed, `_destroySSL` of the `TLSSocket` frees what OpenSSL holds. Not before: OpenSSL may have
 *     called what closes the handle.
 */

/** The wrap of a TLS connection. */
export type TlsWrap = Pick<
  Handle,
  | 'bytesRead'
  | 'bytesWritten'
  | 'writeQueueSize'
  | 'onread'
  | 'useUserBuffer'
  | 'readStart'
  | 'readStop'
  | 'shutdown'
  | 'writeUtf8String'
  | 'writeBuffer'
  | 'writev'
>;

/** A TLS connection after its handshake. */
export interface SecureHandle {
  readonly tls: TlsWrap;
  /** The handle beneath. */
  readonly raw: Handle;
  readonly socket: TLSSocket;
}

/** The same as it was taken from a socket. */
export interface TakenHandle extends SecureHandle {
  /** What the socket has read already. */
  readonly read: readonly Uint8Array[];
}

/** The object that a TLS connection notifies. */
export interface SecureOwner extends HandleOwner {
  /** An error of TLS, or of Node. */
  tlsFailed(error: Error): void;
}

const METHODS = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'shutdown',
  'writeUtf8String',
  'writeBuffer',
  'writev',
] as const;
const FIGURES = ['bytesRead', 'bytesWritten', 'writeQueueSize'] as const;

/** The key of the owner, on the wrap, on the handle beneath and on the socket. */
export const OWNER = Symbol('owner');

/** Without an owner once it is freed. */
type Owned<T> = T & { [OWNER]: SecureOwner } & Record<symbol, unknown>;
type Freed = { [OWNER]?: SecureOwner | undefined };
type WithParents = TlsWrap & { readonly _parent?: object; _parentWrap?: { _handle: object | null } | null };

interface Internals {
  readonly _handle?: WithParents | null;
  _parent?: unknown;
  _destroySSL?(): void;
  readonly _readableState?: { readonly ended: boolean };
  destroy(error?: Error): unknown;
}

/** Whether a wrap has everything that is used of it. */
export const fitsTls: (wrap: object | null | undefined) => wrap is WithParents = shape(METHODS, FIGURES);

/**
 * Takes the handles of a socket whose handshake is complete. From then on the socket reads and writes nothing, nor does the handle.
 *
 * @returns `undefined` if anything has another shape.
 */
export function takeSecured(socket: TLSSocket): TakenHandle | undefined {
  const known = handles();
  const { _handle: tls, _destroySSL: free, _readableState: input } = socket as Internals;
  if (!known || !fitsTls(tls) || typeof free !== 'function' || input?.ended !== false) return undefined;
  const { _parent: raw, _parentWrap: beneath } = tls;
  if (!known.fits(raw) || beneath?._handle !== raw) return undefined;
  const read: Buffer[] = [];
  for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) read.push(chunk);
  // So that the socket beneath does nothing any more, and can be freed.
  beneath._handle = null;
  tls._parentWrap = null;
  (socket as Internals)._parent = null;
  socket.on('error', onError);
  socket.destroy = onDestroy;
  tls.readStop();
  return { tls, raw, socket, read };
}

/** Makes a connection notify its owner. If it reads, it goes on. */
export function ownSecured({ tls, raw, socket }: SecureHandle, owner: SecureOwner): void {
  const { key } = learnt();
  const isOwned = (tls as Owned<TlsWrap>)[OWNER] !== undefined;
  (tls as Owned<TlsWrap>)[OWNER] = owner;
  (raw as Owned<Handle>)[OWNER] = owner;
  (raw as Owned<Handle>)[key] = owner;
  (socket as Owned<TLSSocket>)[OWNER] = owner;
  owner.bytesRead = tls.bytesRead;
  if (isOwned) return;
  tls.onread = onRead;
  tls.useUserBuffer(sharedBuffer);
}

/** What is learnt of this Node. Not to be called if that is nothing. */
export const learnt = () => (handles() as Handles).learnt;

function onRead(this: unknown): void {
  const tls = this as Owned<Handle>;
  const owner = tls[OWNER];
  const { bytesRead } = tls;
  const length = bytesRead - owner.bytesRead;
  if (length === 0) return learnt().readNothing(tls, owner);
  owner.bytesRead = bytesRead;
  owner.bytesReceived(length);
}

function onError(this: TLSSocket, error: Error): void {
  (this as TLSSocket & Freed)[OWNER]?.tlsFailed(error);
}

function onDestroy<T>(this: T, error?: Error): T {
  (this as T & Freed)[OWNER]?.tlsFailed(error ?? closedByNode());
  return this;
}

/** The error of a socket that Node has destroyed without one. */
export const closedByNode = (): Error => new Error('Node has closed the connection');

/** Stops reading at the end of the input. @returns Whether a FIN has ended it, without `close_notify`. */
export function stopAtEnd({ raw }: SecureHandle): boolean {
  const isFin = raw.readStart() === 0;
  raw.readStop();
  return isFin;
}

// Writes ---------------------------------------------------------------------------------------------------------------

/** The request of the write that is being called. */
let calling: Request | undefined;

/**
 * Writes; not to be called before the last write is complete.
 *
 * @returns The number of an error, or 0 if `writeCompleted` follows.
 */
export function writeSecured({ tls }: SecureHandle, data: Written, owner: SecureOwner): number {
  const { WriteRequest } = learnt();
  if (!WriteRequest) return writeWithoutRequest(tls, data, owner);
  const request = new WriteRequest();
  request.oncomplete = onWritten;
  request.owner = owner;
  request.writeStatus = null;
  calling = request;
  try {
    const status = call(tls, request, data) as number;
    return status === 0 ? (request.writeStatus ?? 0) : status;
  } finally {
    calling = undefined;
  }
}

function writeWithoutRequest(tls: TlsWrap, data: Written, owner: SecureOwner): number {
  const request = call(tls, null, data);
  if (typeof request === 'number') return request;
  const { writeStatus } = request;
  if (typeof writeStatus === 'number') return writeStatus;
  request.oncomplete = onWritten;
  request.owner = owner;
  return 0;
}

function call(tls: TlsWrap, request: Request | null, data: Written): number | Request {
  if (typeof data === 'string') return tls.writeUtf8String(request, data);
  if (isBytes(data)) return tls.writeBuffer(request, data);
  const chunks: unknown[] = [];
  for (const piece of data) chunks.push(piece, typeof piece === 'string' ? 'utf8' : 'buffer');
  return tls.writev(request, chunks, false);
}

function onWritten(this: Request, status: number): void {
  if (this === calling) this.writeStatus = status;
  else this.owner.writeCompleted(status);
}

// The end --------------------------------------------------------------------------------------------------------------

/** Sends `close_notify` and a FIN. @returns Whether `shutDown` follows. If not, nothing is left to be shut down. */
export const shutdownSecured = ({ tls }: SecureHandle, owner: SecureOwner): boolean =>
  (handles() as Handles).shutdown(tls as Handle, owner);

/**
 * Frees what OpenSSL holds, and the owner. V8 keeps a wrap, with all that it refers to, until its next full collection, unlike
 * other garbage. That would be the whole connection, and what its handler holds.
 */
export function freeSecured({ tls, raw, socket }: SecureHandle): void {
  const { key } = learnt();
  const shell = socket as { -readonly [K in keyof Internals]: Internals[K] };
  shell._destroySSL?.();
  shell._handle = null;
  for (const one of [tls, raw, socket] as object[] as Record<symbol, unknown>[]) one[OWNER] = one[key] = undefined;
}

/** Closes the handle beneath. `closed` follows. */
export const closeSecured = ({ raw }: SecureHandle): void => raw.close(onClosed);

/** The same with a RST, for a handle of TCP that is not being shut down. */
export const resetSecured = ({ raw }: SecureHandle): void => void raw.reset?.(onClosed);

function onClosed(this: Handle): void {
  (this as Owned<Handle>)[OWNER].closed();
}
