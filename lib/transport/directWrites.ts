import type { Socket } from 'node:net';
import { isBytes, isData } from '../options.ts';
import { gather, giveAway } from './gather.ts';

/**
 * Writes without the queue that `net.Socket` keeps in front of the kernel.
 *
 * A connection has its own queue, with at most one write in flight. So it needs nothing of what Node's queue adds, which costs
 * more than all of Sluice's own work for a write. What remains is the call on the handle in which each write of Node's ends.
 *
 * This relies on what Node does not document: a socket has a `_handle` with `writeUtf8String`, `writeBuffer` and `writev`, and
 * `writeQueueSize` is what the kernel has not taken. Each call has a request, which is used only if the kernel does not take
 * everything at once. Then the request's `oncomplete` is called later. There are two calling conventions:
 *
 * - up to Node 24 the caller passes the request, and its `asyncId` shows whether it was used; the call returns an error number;
 * - from Node 26 on the caller passes `null`, and the call returns a request if one is needed, otherwise an error number.
 *
 * The convention, and the class of the request, are learnt from the first write of the process, which Node does. If the
 * convention is neither of the two, or anything else differs, {@link writerOf} returns `undefined`, and `socket.write` is used.
 */

/**
 * Writes in one system call.
 *
 * @param handle The handle of a socket that is not destroyed.
 * @param data What to write.
 * @param listener Notified when a write that returned `later` is complete, or has failed.
 * @returns `now` if the kernel took everything, `later` if not, or the number of an error.
 */
export type Writer = (handle: WritingHandle, data: Written, listener: WriteListener) => 'now' | 'later' | number;

/** What can be written: one piece, or several that are written together. */
export type Written = string | Uint8Array | readonly (string | Uint8Array)[];

/** Is notified when a write that the kernel did not take at once is complete, or has failed. */
export interface WriteListener {
  /** @param status 0, or the number of an error. */
  completed(status: number): void;
}

interface WriteRequest {
  getAsyncId(): number;
  oncomplete: (this: WriteRequest, status: number) => void;
  listener: WriteListener;
  /** Keeps the memory of the write in flight from being freed. */
  data: unknown;
  /** The outcome of the write, if it completed within the call. */
  writeStatus?: number | null;
}

/** An error number, or from Node 26 on the request of a write in flight. */
type Answer = number | WriteRequest;

export interface WritingHandle {
  writeUtf8String(request: WriteRequest | null, text: string): Answer;
  writeBuffer(request: WriteRequest | null, bytes: Uint8Array): Answer;
  writev(request: WriteRequest | null, chunks: unknown[], allBuffers: boolean): Answer;
  readonly writeQueueSize: number;
}

const METHODS = ['writeUtf8String', 'writeBuffer', 'writev'] as const;

/** The writer for the calling convention of this Node: `undefined` until it is learnt, `null` if it is unknown to us. */
let writer: Writer | null | undefined;

/**
 * How to write to a socket directly; `undefined` if that is not possible, or not learnt yet. In the latter case it is learnt
 * now.
 */
export function writerOf(socket: Socket): Writer | undefined {
  if (writer === undefined) {
    const handle = handleOf(socket);
    if (handle !== undefined) for (const method of METHODS) learn(handle, method);
  }
  return writer ?? undefined;
}

/** The prototype of the last handle that passed the check: nearly always all sockets have the same. */
let known: object | null = null;

/** The handle of a socket, if it can be written to directly. */
export function handleOf(socket: Socket): WritingHandle | undefined {
  const handle = (socket as { _handle?: Partial<WritingHandle> | null })._handle;
  if (handle === null || handle === undefined) return undefined;
  const prototype: object | null = Object.getPrototypeOf(handle);
  if (prototype !== known) {
    const hasMethods = METHODS.every((method) => typeof handle[method] === 'function');
    if (!hasMethods || typeof handle.writeQueueSize !== 'number') return undefined;
    known = prototype;
  }
  return handle as WritingHandle;
}

/** Observes how Node calls this method in its own first write, once. */
function learn(handle: WritingHandle, method: (typeof METHODS)[number]): void {
  if (Object.hasOwn(handle, method)) return;
  Object.defineProperty(handle, method, {
    configurable: true,
    value(request: WriteRequest | null, ...rest: never[]): Answer {
      for (const name of METHODS) Reflect.deleteProperty(handle, name);
      writer ??= writerFor(request);
      return (handle[method] as (request: WriteRequest | null, ...rest: never[]) => Answer)(request, ...rest);
    },
  });
}

function writerFor(request: WriteRequest | null): Writer | null {
  if (request === null) return withoutRequest;
  const isKnown = typeof request?.getAsyncId === 'function' && typeof request.constructor === 'function';
  return isKnown ? withRequest(request.constructor as new () => WriteRequest) : null;
}

/** Up to Node 24. */
function withRequest(Request: new () => WriteRequest): Writer {
  /** A request that no write has used yet. */
  let spare: WriteRequest | undefined;
  return (handle, data, listener) => {
    const request = spare ?? new Request();
    const piece = inOne(data);
    const status = call(handle, request, piece) as number;
    // A request gets an id when it is used. One that was not used serves the next write.
    if (request.getAsyncId() < 0) {
      spare = request;
      return status === 0 ? 'now' : status;
    }
    spare = undefined;
    if (status !== 0) return status;
    notifyLater(request, listener, piece, data);
    return 'later';
  };
}

/** From Node 26 on. */
const withoutRequest: Writer = (handle, data, listener) => {
  const piece = inOne(data);
  const answer = call(handle, null, piece);
  if (typeof answer === 'number') return answer === 0 ? 'now' : answer;
  notifyLater(answer, listener, piece, data);
  // The write may have completed within the call, before the listener was set.
  const { writeStatus: status } = answer;
  if (typeof status !== 'number') return 'later';
  answer.writeStatus = null;
  return status === 0 ? 'now' : status;
};

const inOne = (data: Written): Written => (isData(data) ? data : (gather(data) ?? data));

function call(handle: WritingHandle, request: WriteRequest | null, data: Written): Answer {
  if (typeof data === 'string') return handle.writeUtf8String(request, data);
  if (isBytes(data)) return handle.writeBuffer(request, data);
  const allBuffers = data.every((piece) => typeof piece !== 'string');
  if (allBuffers) return handle.writev(request, [...data], true);
  const chunks: unknown[] = [];
  for (const piece of data) chunks.push(piece, typeof piece === 'string' ? 'utf8' : 'buffer');
  return handle.writev(request, chunks, false);
}

/** @param piece What was written: `data` itself, or what was gathered of it. */
function notifyLater(request: WriteRequest, listener: WriteListener, piece: Written, data: Written): void {
  if (piece !== data) giveAway();
  request.oncomplete = onComplete;
  request.listener = listener;
  // Node has copied a string. Keeping the string as well would take the memory of a large reply twice.
  request.data = typeof piece === 'string' ? undefined : piece;
}

function onComplete(this: WriteRequest, status: number): void {
  this.listener.completed(status);
}
