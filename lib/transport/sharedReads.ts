import { type OnReadOpts, type Server, Socket } from 'node:net';
import { Prefixes } from './prefixes.ts';

/**
 * One read buffer for all connections.
 *
 * Node allocates 64 KiB for each read, unless the socket was made with a buffer of its own (`onread`). A server makes its
 * sockets without one. So the accepted handle is taken before the server makes a socket of it, and a socket with `onread` is
 * made here. Its callback runs within the read. So one buffer serves all connections, and an idle connection holds none.
 *
 * This relies on what Node does not document: a listening server has a `_handle` that calls `onconnection(status, handle)`, and
 * the accepted handle has the method `useUserBuffer`. Both are so in Node 20, 22, 24 and 26. {@link takeAccepted} checks for
 * it. If it is not so, the server's own sockets and their `data` events are used.
 */

/** As large as one read of libuv can be. */
const BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

const PREFIXES = new Prefixes(BUFFER);

type Received = (this: Socket, chunk: Buffer) => void;

/**
 * The shared buffer as the `onread` option of a new socket, which Node documents.
 *
 * @param received Called within each read, with the socket as `this` and bytes that the next read overwrites.
 */
export function sharedBuffer(received: Received): OnReadOpts {
  return {
    buffer: BUFFER,
    callback(this: Socket, length: number): boolean {
      received.call(this, PREFIXES.of(length));
      return true;
    },
  } as OnReadOpts;
}

interface Handle {
  setNoDelay?(on: boolean): void;
  setKeepAlive?(on: boolean, seconds: number): void;
}

interface AcceptedHandle extends Handle {
  useUserBuffer?: unknown;
}

interface ListeningHandle extends Handle {
  onconnection?: (status: number, handle: AcceptedHandle | undefined) => void;
}

export interface SharedReadOptions {
  readonly noDelay: boolean;
  /** Milliseconds before the first keep-alive probe, or `false` for none. */
  readonly keepAlive: number | false;
  readonly highWaterMark: number;
}

/**
 * On Linux an accepted socket inherits the options of the listening one, which saves five system calls per connection. In a
 * worker of a cluster the listening socket is the primary's, and options cannot be set on the handle that represents it here.
 */
const inherits = (listening: Handle) => process.platform === 'linux' && typeof listening.setNoDelay === 'function';

function set(handle: Handle, { noDelay, keepAlive }: SharedReadOptions): void {
  if (noDelay) handle.setNoDelay?.(true);
  if (keepAlive !== false) handle.setKeepAlive?.(true, Math.trunc(keepAlive / 1000));
}

/**
 * Takes the handles that a listening server accepts, and makes sockets of them that read into the shared buffer.
 *
 * @param server A server that is listening.
 * @param options Those of the server, because it no longer makes the sockets itself.
 * @param received Called within each read, with the socket as `this` and bytes that the next read overwrites.
 * @param accepted Called with each socket, which is paused and allows half-open connections.
 * @returns Whether this release of Node supports it. If not, the server emits `connection` as usual.
 */
export function takeAccepted(
  server: Server,
  options: SharedReadOptions,
  received: Received,
  accepted: (socket: Socket) => void,
): boolean {
  const listening = (server as { _handle?: ListeningHandle | null })._handle;
  const original = listening?.onconnection;
  if (!listening || typeof original !== 'function') return false;
  const { highWaterMark } = options;
  const onread = sharedBuffer(received);
  const isInherited = inherits(listening);
  if (isInherited) set(listening, options);
  listening.onconnection = function (this: ListeningHandle, status, handle) {
    // An accept that failed, or a handle that cannot read into the buffer, is left to the server.
    if (status !== 0 || typeof handle?.useUserBuffer !== 'function') return original.call(this, status, handle);
    if (!isInherited) set(handle, options);
    // The server itself passes `handle` and `pauseOnCreate`, which the types do not declare.
    const socket = new Socket({
      handle,
      onread,
      allowHalfOpen: true,
      pauseOnCreate: true,
      readable: true,
      writable: true,
      highWaterMark,
    } as object);
    accepted(socket);
  };
  return true;
}
