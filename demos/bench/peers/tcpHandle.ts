/**
 * The part of Node's TCP handle that the server `handle` uses. Node does not document it; `lib/transport/nodeInternals.ts`
 * describes the two conventions of its writes.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';

/** The handle of a connection. */
export interface TcpHandle {
  /** Called after a read. Only the growth of `bytesRead` tells its length; no growth means the end, or an error. */
  onread: () => void;
  readonly bytesRead: number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  setNoDelay(on: boolean): number;
  writeBuffer(request: WriteRequest | null, bytes: Uint8Array): unknown;
  writeUtf8String(request: WriteRequest | null, text: string): unknown;
  close(): void;
}

interface WriteRequest {
  getAsyncId(): number;
}

/** Writes in one system call. What the kernel does not take at once is sent later, from the same memory. */
export type Write = (handle: TcpHandle, data: string | Uint8Array) => void;

/**
 * Learns how this Node writes from a write of a real socket: up to Node 24 with a request, from Node 26 on with `null`.
 *
 * @param server A server that listens. It accepts one connection.
 */
export async function learnWrite(server: Server): Promise<Write> {
  server.once('connection', (peer) => peer.resume());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const handle = handleOf<TcpHandle>(socket);
  let learnt: WriteRequest | null | undefined;
  handle.writeBuffer = (request, bytes) => {
    Reflect.deleteProperty(handle, 'writeBuffer');
    learnt = request;
    return handle.writeBuffer(request, bytes);
  };
  socket.resume().end(Buffer.from('\n'));
  await once(socket, 'close');
  if (learnt === undefined) throw new Error('Cannot start: the handle of this Node is not known');
  return learnt === null ? withoutRequest : withRequest(learnt.constructor as new () => WriteRequest);
}

/** From now on, connections of this server are handles without a `net.Socket`. */
export function acceptHandles(server: Server, accept: (handle: TcpHandle) => void): void {
  const port = handleOf<{ onconnection(status: number, handle?: TcpHandle): void }>(server);
  port.onconnection = (_status, handle) => {
    if (handle !== undefined) accept(handle);
  };
}

function handleOf<T>(object: Server | Socket): T {
  const { _handle: handle } = object as { _handle?: T | null };
  if (handle) return handle;
  throw new Error('Cannot start: this runtime has no handle');
}

const withoutRequest: Write = (handle, data) => call(handle, null, data);

/** A request gets an id when the kernel does not take everything. One without an id serves the next write. */
function withRequest(Request: new () => WriteRequest): Write {
  let spare = new Request();
  return (handle, data) => {
    call(handle, spare, data);
    if (spare.getAsyncId() >= 0) spare = new Request();
  };
}

function call(handle: TcpHandle, request: WriteRequest | null, data: string | Uint8Array): void {
  if (typeof data === 'string') handle.writeUtf8String(request, data);
  else handle.writeBuffer(request, data);
}
