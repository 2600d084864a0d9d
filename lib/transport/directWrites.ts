import type { Socket } from 'node:net';

/**
 * Writes without the queue that `net.Socket` keeps in front of the kernel.
 *
 * Our own queue stands before it already, and has at most one write under way, so that a write needs nothing that Node's
 * would add: which is more work than all of ours. What is left is the call that Node itself ends in.
 *
 * This rests on what Node does not document: that a socket has a `_handle` with `writeUtf8String`, `writeBuffer` and
 * `writev`, which take a request object, answer with an error number, and call the request's `oncomplete` if the kernel
 * did not take all at once; and that `writeQueueSize` says so. It is so in Node 20, 22, 24 and 26. The class of the request
 * is learnt from the first write, which Node does. {@link writingHandle} answers nothing where any of it is not so, and then
 * `socket.write` does.
 */
interface WriteRequest {
  getAsyncId(): number;
  oncomplete: (this: WriteRequest, status: number) => void;
  writer: Completed;
  /** Keeps the memory of what is under way. */
  data: unknown;
}

export interface WritingHandle {
  writeUtf8String(request: WriteRequest, text: string): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writev(request: WriteRequest, chunks: unknown[], allBuffers: boolean): number;
  readonly writeQueueSize: number;
}

/** Who is told that a write which the kernel did not take at once has been taken, or has failed. */
export interface Completed {
  completed(status: number): void;
}

let Request: (new () => WriteRequest) | undefined;

/** What can be written: one piece, or several to leave together. */
export type Written = string | Uint8Array | readonly (string | Uint8Array)[];

/**
 * The handle of a socket, if it can be written to directly. Until the class of the request is known it cannot, and is
 * watched for.
 */
export function writingHandle(socket: Socket): WritingHandle | undefined {
  const handle = (socket as { _handle?: Partial<WritingHandle> | null })._handle;
  const known =
    typeof handle?.writeUtf8String === 'function' &&
    typeof handle.writeBuffer === 'function' &&
    typeof handle.writev === 'function' &&
    typeof handle.writeQueueSize === 'number';
  if (!known) return undefined;
  if (Request !== undefined) return handle as WritingHandle;
  for (const method of METHODS) learn(handle as WritingHandle, method);
  return undefined;
}

/**
 * Writes.
 *
 * @param handle Of a socket that has not been destroyed.
 * @param data What, in one call of the system.
 * @param writer Told later, if the answer is `later`.
 * @returns `now` if the kernel took all, `later` if not, or the number of an error.
 */
export function writeDirectly(handle: WritingHandle, data: Written, writer: Completed): 'now' | 'later' | number {
  const request = spare ?? new (Request as new () => WriteRequest)();
  const status = call(handle, request, data);
  // Node uses the request, and gives it an id, only if the kernel did not take all at once. If it has none it serves again.
  if (request.getAsyncId() < 0) {
    spare = request;
    return status === 0 ? 'now' : status;
  }
  spare = undefined;
  if (status !== 0) return status;
  request.oncomplete = completed;
  request.writer = writer;
  request.data = data;
  return 'later';
}

const METHODS = ['writeUtf8String', 'writeBuffer', 'writev'] as const;
/** A request that no write has needed yet. */
let spare: WriteRequest | undefined;

function call(handle: WritingHandle, request: WriteRequest, data: Written): number {
  if (typeof data === 'string') return handle.writeUtf8String(request, data);
  if (data instanceof Uint8Array) return handle.writeBuffer(request, data);
  const allBuffers = data.every((piece) => typeof piece !== 'string');
  if (allBuffers) return handle.writev(request, [...data], true);
  const chunks: unknown[] = [];
  for (const piece of data) chunks.push(piece, typeof piece === 'string' ? 'utf8' : 'buffer');
  return handle.writev(request, chunks, false);
}

function completed(this: WriteRequest, status: number): void {
  this.writer.completed(status);
}

/** Looks on as Node makes its own request for a write of this kind, once. */
function learn(handle: WritingHandle, method: (typeof METHODS)[number]): void {
  if (Object.hasOwn(handle, method)) return;
  Object.defineProperty(handle, method, {
    configurable: true,
    value(request: WriteRequest, ...rest: never[]): number {
      for (const name of METHODS) Reflect.deleteProperty(handle, name);
      Request ??= request.constructor as new () => WriteRequest;
      return (handle[method] as (request: WriteRequest, ...rest: never[]) => number)(request, ...rest);
    },
  });
}
