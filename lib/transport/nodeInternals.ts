import { Socket } from 'node:net';
import { isBytes } from '../options.ts';
import type { Handle, HandleOwner, Handles, Request, Written } from './handle.ts';
import { shape } from './shape.ts';
import { sharedBuffer } from './sharedBuffer.ts';

/**
 * What Sluice knows of Node's sockets and that Node does not document. The other files of the library use what this one checks:
 * handles, by the types in `handle.ts`.
 *
 * A `net.Socket` costs more than a connection on it. So {@link HandleSocket} has only what Node's own sockets have beneath: a
 * handle of libuv. The facts, in the releases 20, 22, 24 and 26:
 *
 * 1. A connected `net.Socket` has a `_handle`, and works without it once it is `null`. What a listening server has is in
 *    `nodeListening.ts`.
 * 2. A handle has the members of {@link Handle}. Those that return a number return the negative number of an error, or 0.
 * 3. After `useUserBuffer(buffer)` each read goes into that buffer. Then `onread` is called, with the handle as `this`, and
 *    without the number of bytes; `bytesRead` counts them all. If it has not grown, this was the end, an error, or nothing.
 * 4. Which of these it was, the function knows that Node itself sets as `onread`. Its `this` has the stream under the one symbol
 *    that is a key of the handle. It calls `push(null)` on the stream at the end, `destroy(error)` after an error, else neither.
 * 5. `shutdown(request)` and each write use a request. Its `oncomplete(status)` is called when the kernel has taken everything.
 *    There are two conventions for a write:
 *    - the caller passes a request, and its `asyncId` shows whether it was used; the call returns an error number;
 *    - in later releases the caller passes `null`; the call returns a request if one is needed, otherwise an error number.
 * 6. `close(callback)` and `reset(callback)` free the descriptor at once, and call back when nothing else follows. A handle of TCP
 *    that is being shut down refuses to be reset, and can then not be closed any more.
 *
 * The classes of requests, the symbol and the function of fact 4 are learnt from a `net.Socket` on a stand-in for a handle. It
 * costs no system call. In another release, in another runtime, or if anything has another shape, {@link handles} is `undefined`,
 * and the documented interface is used.
 *
 * That interface lacks three figures and one behaviour. The functions at the end take them from a `net.Socket`, if they exist.
 */

/** The releases in which the facts are tested. */
const RELEASES = [20, 22, 24, 26];

const METHODS = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'shutdown',
  'writeUtf8String',
  'writeBuffer',
  'writev',
  'close',
] as const;
const FIGURES = ['fd', 'bytesRead', 'bytesWritten', 'writeQueueSize'] as const;

let learnt: Handles | null | undefined;

/** The handles of this release of Node; `undefined` if they are unknown. */
export function handles(): Handles | undefined {
  if (learnt === undefined) learnt = learn() ?? null;
  return learnt ?? undefined;
}

function learn(): Handles | undefined {
  const { node = '', bun, deno } = process.versions;
  if (bun !== undefined || deno !== undefined || !RELEASES.includes(Number.parseInt(node, 10))) return undefined;
  try {
    const standIn = new StandIn();
    const socket = asSocket(standIn as object as Handle);
    socket._write('x', 'utf8', () => {});
    socket._final(() => {});
    const [key, ...others] = Object.getOwnPropertySymbols(standIn);
    const { onread, written, shut } = standIn;
    const { writer, Shutdown } = { writer: writerFor(written), Shutdown: classOf(shut) };
    if (key === undefined || others.length > 0 || typeof onread !== 'function' || !writer || !Shutdown)
      return undefined;
    return handlesOf(key, onread as () => void, writer, Shutdown, classOf(written));
  } catch {
    // Node did with the stand-in what it does not do in the releases above.
    return undefined;
  }
}

/** What every `net.Socket` calls on its handle. */
export class StandInHandle {
  getAsyncId(): number {
    return 1;
  }
  readStart(): number {
    return 0;
  }
  readStop(): number {
    return 0;
  }
}

/** Records how a `net.Socket` uses its handle. */
class StandIn extends StandInHandle {
  onread: unknown;
  written: unknown;
  shut: unknown;
  writeUtf8String(request: unknown): number {
    this.written = request;
    return 0;
  }
  shutdown(request: unknown): number {
    this.shut = request;
    return 0;
  }
}

function classOf(request: unknown): (new () => Request) | undefined {
  const isKnown = typeof (request as Partial<Request> | null | undefined)?.getAsyncId === 'function';
  return isKnown ? ((request as Request).constructor as new () => Request) : undefined;
}

function handlesOf(
  key: symbol,
  nodeReader: () => void,
  write: Writer,
  Shutdown: new () => Request,
  WriteRequest: (new () => Request) | undefined,
): Handles {
  type Owned = Handle & Record<symbol, HandleOwner | Stream>;

  function onRead(this: Handle): void {
    const owner = (this as Owned)[key] as HandleOwner;
    const { bytesRead } = this;
    const length = bytesRead - owner.bytesRead;
    if (length === 0) return readNothing(this, owner);
    owner.bytesRead = bytesRead;
    owner.bytesReceived(length);
  }

  function readNothing(given: Handle, owner: Pick<HandleOwner, 'readFailed' | 'readEnded'>): void {
    const handle = given as Owned;
    const stream = new Stream();
    const before = handle[key] as HandleOwner;
    handle[key] = stream;
    try {
      nodeReader.call(handle);
    } finally {
      handle[key] = before;
    }
    if (stream.error) owner.readFailed(stream.error);
    else if (stream.isEnded) owner.readEnded();
  }

  function onClosed(this: Handle): void {
    ((this as Owned)[key] as HandleOwner).closed();
  }

  return {
    fits: shape<Handle>(METHODS, FIGURES),
    own(handle, owner) {
      (handle as Owned)[key] = owner;
      handle.onread = onRead;
      handle.useUserBuffer(sharedBuffer);
    },
    write,
    shutdown(handle, owner) {
      const request = new Shutdown();
      request.oncomplete = onShutdown;
      request.owner = owner;
      return handle.shutdown(request) === 0;
    },
    close: (handle) => handle.close(onClosed),
    reset: (handle) => void handle.reset?.(onClosed),
    learnt: { key, WriteRequest, readNothing },
  };
}

/** A stand-in for the stream of a handle: records what Node's own reader calls. All that it inherits does nothing here. */
class Stream {
  error: Error | undefined;
  isEnded = false;
  readonly destroyed = false;
  readonly _readableState = { endEmitted: false };

  static {
    // Node calls methods whose names are symbols, too.
    Object.setPrototypeOf(Stream.prototype, Socket.prototype);
  }

  destroy(error: Error): void {
    this.error = error;
  }
  push(): void {
    this.isEnded = true;
  }
  read(): void {}
  on(): void {}
  _unrefTimer(): void {}
}

function onShutdown(this: Request): void {
  this.owner.shutDown();
}

// Sockets and their handles ---------------------------------------------------------------------------------------------

/** Takes the handle of a socket that has just connected, and is paused. The socket has none from then on. */
export function takeConnected({ fits }: Handles, socket: Socket): Handle | undefined {
  const from = socket as { _handle?: object | null };
  const handle = from._handle;
  if (!fits(handle)) return undefined;
  from._handle = null;
  return handle;
}

/** A paused `net.Socket` on a handle, which becomes its own. */
export function asSocket(handle: Handle): Socket {
  const options = { handle, pauseOnCreate: true, readable: true, writable: true, allowHalfOpen: true };
  return new Socket(options as object);
}

// Writes -------------------------------------------------------------------------------------------------------------

type Writer = Handles['write'];

function writerFor(request: unknown): Writer | undefined {
  if (request === null) return withoutRequest;
  const Request = classOf(request);
  return Request && withRequest(Request);
}

function withRequest(Request: new () => Request): Writer {
  /** A request that no write has used yet. */
  let spare: Request | undefined;
  return (handle, data, owner) => {
    const request = spare ?? new Request();
    const status = call(handle, request, data) as number;
    // A request gets an id when it is used. One that was not used serves the next write.
    if (request.getAsyncId() < 0) {
      spare = request;
      return status === 0 ? 'now' : status;
    }
    spare = undefined;
    if (status !== 0) return status;
    notifyLater(request, owner, data);
    return 'later';
  };
}

const withoutRequest: Writer = (handle, data, owner) => {
  const answer = call(handle, null, data);
  if (typeof answer === 'number') return answer === 0 ? 'now' : answer;
  notifyLater(answer, owner, data);
  // The write may have completed within the call, before the owner was set.
  const { writeStatus: status } = answer;
  if (typeof status !== 'number') return 'later';
  answer.writeStatus = null;
  return status === 0 ? 'now' : status;
};

function call(handle: Handle, request: Request | null, data: Written): number | Request {
  if (typeof data === 'string') return handle.writeUtf8String(request, data);
  if (isBytes(data)) return handle.writeBuffer(request, data);
  const allBuffers = data.every((piece) => typeof piece !== 'string');
  if (allBuffers) return handle.writev(request, [...data], true);
  const chunks: unknown[] = [];
  for (const piece of data) chunks.push(piece, typeof piece === 'string' ? 'utf8' : 'buffer');
  return handle.writev(request, chunks, false);
}

function notifyLater(request: Request, owner: HandleOwner, data: Written): void {
  request.oncomplete = onWritten;
  request.owner = owner;
  // Node has copied a string. Keeping the string as well would take the memory of a large reply twice.
  request.data = typeof data === 'string' ? undefined : data;
}

function onWritten(this: Request, status: number): void {
  this.owner.writeCompleted(status);
}

// What a `net.Socket` does not tell ------------------------------------------------------------------------------------

interface Internals {
  readonly _handle?: (Partial<Handle> & { readonly reading?: boolean }) | null;
  readonly _readableState?: { errored: Error | null };
}

/** The descriptor of a socket. */
export const descriptorOf = (socket: Socket): number | undefined => (socket as Internals)._handle?.fd;

/** Bytes that the kernel has not taken. Unlike `writableLength` it decreases while a large write makes progress. */
export const queuedOf = (socket: Socket): number | undefined => (socket as Internals)._handle?.writeQueueSize;

/** Bytes that the kernel has taken of a socket, also of one on which TLS writes. */
export function takenOf(socket: Socket): number | undefined {
  const { bytesWritten, writeQueueSize } = (socket as Internals)._handle ?? {};
  return bytesWritten === undefined || writeQueueSize === undefined ? undefined : bytesWritten - writeQueueSize;
}

/** Whether the kernel still knows the peer of a TCP socket. After a RST it does not: ENOTCONN. */
export const isConnected = (socket: Socket): boolean | undefined => isPeerKnown((socket as Internals)._handle);

/** The same for a handle. */
export function isPeerKnown(handle: Partial<Handle> | null | undefined): boolean | undefined {
  const status = handle?.getpeername?.({});
  return status === undefined ? undefined : status === 0;
}

/** A failed write marks the input of a socket as failed, too; such an input never emits its end. This undoes the mark. */
export function keepReadable(socket: Socket): void {
  const { _readableState: input } = socket as Internals;
  if (input) input.errored = null;
}

/**
 * Calls back at the end of a TLS connection's input, with whether it is truncated: the peer sent a FIN without `close_notify`.
 *
 * Both end the input of Node's socket. But after a FIN libuv reads no more from the socket beneath, and would begin anew. A
 * socket that does not read at that moment has received no FIN, so `close_notify` was among the bytes that were read before.
 */
export function onEndOfInput(socket: Socket, raw: Socket, callback: (isTruncated: boolean) => void): void {
  const { push } = socket;
  socket.push = (chunk, encoding) => {
    if (chunk === null) callback(endsByFin(socket, raw));
    return push.call(socket, chunk, encoding);
  };
}

function endsByFin(socket: object, raw: object): boolean {
  const { _handle: handle } = raw as Internals;
  if ((socket as Internals)._handle?.reading !== true || !handle?.readStart || handle.readStart() !== 0) return false;
  handle.readStop?.();
  return true;
}
