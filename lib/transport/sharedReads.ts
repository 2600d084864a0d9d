import { type OnReadOpts, type Server, Socket } from 'node:net';
import { Prefixes } from './prefixes.ts';

/**
 * One read buffer for all connections.
 *
 * Node reads into a fresh slab of 64 KiB each time, unless a socket is given a buffer of its own (`onread`), which a server
 * gives to no socket it accepts. So we take the accepted handle before the server makes a socket of it, and make one with
 * `onread` ourselves. The callback runs within the read, so one buffer serves everybody, and an idle connection holds none.
 *
 * This rests on what Node does not document: that a listening server has a `_handle` that calls `onconnection(status,
 * handle)`, and that such a handle knows `useUserBuffer`. It is so in Node 20, 22, 24 and 26. {@link takeAccepted} looks first,
 * and where it is not so says no: then the server's own sockets and their `data` events do.
 */

/** As large as one read of libuv's can be. */
const BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

const PREFIXES = new Prefixes(BUFFER);

type Received = (this: Socket, chunk: Buffer) => void;

/**
 * The shared buffer as the `onread` option of a socket of our own making, which Node documents.
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
  /** Milliseconds, or `false`. */
  readonly keepAlive: number | false;
  readonly highWaterMark: number;
}

/**
 * On Linux an accepted socket has what the listening one had: five calls of the system less for each connection. In a worker
 * of a cluster that one is the primary's, and what stands in for it here can be told nothing.
 */
const inherits = (listening: Handle) => process.platform === 'linux' && typeof listening.setNoDelay === 'function';

function set(handle: Handle, { noDelay, keepAlive }: SharedReadOptions): void {
  if (noDelay) handle.setNoDelay?.(true);
  if (keepAlive !== false) handle.setKeepAlive?.(true, Math.trunc(keepAlive / 1000));
}

/**
 * Takes what a listening server accepts, and makes sockets that read into the shared buffer.
 *
 * @param server A server that is listening.
 * @param options As for the server itself, which is passed by.
 * @param received Called within each read, with the socket as `this` and bytes that the next read overwrites.
 * @param accepted Called with each socket, paused and half-open.
 * @returns Whether this Node is one where that can be done. If not, the server emits `connection` as ever.
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
    // An accept that went wrong, or a handle of a kind that reads otherwise: the server knows what to do.
    if (status !== 0 || typeof handle?.useUserBuffer !== 'function') return original.call(this, status, handle);
    if (!isInherited) set(handle, options);
    // `handle`, `onread` and `pauseOnCreate` are what the server itself passes, and the types do not know.
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
