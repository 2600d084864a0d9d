import type { Socket } from 'node:net';
import { isBytes, isData } from '../options.ts';
import { gather, giveAway } from './gather.ts';

/**
 * Writes without the queue that `net.Socket` keeps in front of the kernel.
 *
 * Our own queue stands before it already, and has at most one write under way, so that a write needs nothing that Node's
 * would add: which is more work than all of ours. What is left is the call that Node itself ends in.
 *
 * This rests on what Node does not document: that a socket has a `_handle` with `writeUtf8String`, `writeBuffer` and
 * `writev`, and that `writeQueueSize` says what the kernel has not taken. Each call is given a request, which it uses only if
 * the kernel did not take all at once; then `oncomplete` of it is called later. There are two ways to have one:
 *
 * - up to Node 24 the caller brings it, and an `asyncId` says whether it was used; the answer is an error number;
 * - from Node 26 on the caller brings `null`, and the answer is a request if one is needed, else an error number.
 *
 * Which of them it is, and the class of the request, is learnt from the first write, which Node does. Where it is neither, and
 * where anything else is not so, {@link writerOf} answers nothing, and `socket.write` does.
 */

/**
 * Writes, in one call of the system.
 *
 * @param handle Of a socket that has not been destroyed.
 * @param data What.
 * @param told When a write that was answered with `later` has been taken, or has failed.
 * @returns `now` if the kernel took all, `later` if not, or the number of an error.
 */
export type Writer = (handle: WritingHandle, data: Written, told: Completed) => 'now' | 'later' | number;

/** What can be written: one piece, or several to leave together. */
export type Written = string | Uint8Array | readonly (string | Uint8Array)[];

/** Who is told that a write which the kernel did not take at once has been taken, or has failed. */
export interface Completed {
  completed(status: number): void;
}

interface WriteRequest {
  getAsyncId(): number;
  oncomplete: (this: WriteRequest, status: number) => void;
  told: Completed;
  /** Keeps the memory of what is under way. */
  data: unknown;
  /** What the write that needed this request came to, if it is over already. */
  writeStatus?: number | null;
}

/** An error number, or from Node 26 on the request of a write that is under way. */
type Answer = number | WriteRequest;

export interface WritingHandle {
  writeUtf8String(request: WriteRequest | null, text: string): Answer;
  writeBuffer(request: WriteRequest | null, bytes: Uint8Array): Answer;
  writev(request: WriteRequest | null, chunks: unknown[], allBuffers: boolean): Answer;
  readonly writeQueueSize: number;
}

const METHODS = ['writeUtf8String', 'writeBuffer', 'writev'] as const;

/** The way of this Node, once it is learnt; `null` where it is none that we know. */
let writer: Writer | null | undefined;

/** How to write to a socket directly, if that can be done. Until the way is learnt it cannot, and is watched for. */
export function writerOf(socket: Socket): Writer | undefined {
  if (writer === undefined) {
    const handle = handleOf(socket);
    if (handle !== undefined) for (const method of METHODS) learn(handle, method);
  }
  return writer ?? undefined;
}

/** The kind of handle that was looked at last and found good: almost always there is one. */
let known: object | null = null;

/** The handle of a socket, if it is one that can be written to. */
export function handleOf(socket: Socket): WritingHandle | undefined {
  const handle = (socket as { _handle?: Partial<WritingHandle> | null })._handle;
  if (handle === null || handle === undefined) return undefined;
  const kind: object | null = Object.getPrototypeOf(handle);
  if (kind !== known) {
    const isGood = METHODS.every((method) => typeof handle[method] === 'function');
    if (!isGood || typeof handle.writeQueueSize !== 'number') return undefined;
    known = kind;
  }
  return handle as WritingHandle;
}

/** Looks on as Node makes its own first write of this kind, once. */
function learn(handle: WritingHandle, method: (typeof METHODS)[number]): void {
  if (Object.hasOwn(handle, method)) return;
  Object.defineProperty(handle, method, {
    configurable: true,
    value(request: WriteRequest | null, ...rest: never[]): Answer {
      for (const name of METHODS) Reflect.deleteProperty(handle, name);
      writer ??= wayOf(request);
      return (handle[method] as (request: WriteRequest | null, ...rest: never[]) => Answer)(request, ...rest);
    },
  });
}

function wayOf(request: WriteRequest | null): Writer | null {
  if (request === null) return withoutRequest;
  const known = typeof request?.getAsyncId === 'function' && typeof request.constructor === 'function';
  return known ? withRequest(request.constructor as new () => WriteRequest) : null;
}

/** Up to Node 24. */
function withRequest(Request: new () => WriteRequest): Writer {
  /** A request that no write has needed yet. */
  let spare: WriteRequest | undefined;
  return (handle, data, told) => {
    const request = spare ?? new Request();
    const piece = inOne(data);
    const status = call(handle, request, piece) as number;
    // It has an id from when it is needed. If it is not it serves again.
    if (request.getAsyncId() < 0) {
      spare = request;
      return status === 0 ? 'now' : status;
    }
    spare = undefined;
    if (status !== 0) return status;
    tellLater(request, told, piece, data);
    return 'later';
  };
}

/** From Node 26 on. */
const withoutRequest: Writer = (handle, data, told) => {
  const piece = inOne(data);
  const answer = call(handle, null, piece);
  if (typeof answer === 'number') return answer === 0 ? 'now' : answer;
  tellLater(answer, told, piece, data);
  // It may be over already, before anybody could be told.
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

/** @param piece What was written of `data`: itself, or what was gathered of it. */
function tellLater(request: WriteRequest, told: Completed, piece: Written, data: Written): void {
  if (piece !== data) giveAway();
  request.oncomplete = completed;
  request.told = told;
  // Node has copied a string: kept here, too, a large reply would take its memory twice.
  request.data = typeof piece === 'string' ? undefined : piece;
}

function completed(this: WriteRequest, status: number): void {
  this.told.completed(status);
}
