// Types only. The facts behind them are in `nodeInternals.ts` and in the files that continue it.

/** A handle of libuv: one end of a TCP connection or of a unix socket. */
export interface Handle {
  /** -1 once it is closed. */
  readonly fd: number;
  readonly bytesRead: number;
  /** Bytes that were passed to write, whether or not the kernel has taken them. */
  readonly bytesWritten: number;
  /** Bytes that libuv holds, because the kernel has not taken them. */
  readonly writeQueueSize: number;
  onread: (this: Handle) => void;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  shutdown(request: Request): number;
  writeUtf8String(request: Request | null, text: string): number | Request;
  writeBuffer(request: Request | null, bytes: Uint8Array): number | Request;
  writev(request: Request | null, chunks: unknown[], allBuffers: boolean): number | Request;
  close(callback: (this: Handle) => void): void;
  /** Only of TCP, as the members below. */
  reset?(callback: (this: Handle) => void): number;
  getpeername?(out: object): number;
  getsockname?(out: object): number;
  setNoDelay?(on: boolean): void;
  setKeepAlive?(on: boolean, seconds: number): void;
}

/** A shutdown, or a write that the kernel has not taken at once. */
export interface Request {
  getAsyncId(): number;
  oncomplete: (this: Request, status: number) => void;
  owner: HandleOwner;
  /** Keeps the memory of the write in flight from being freed. */
  data: unknown;
  /** The outcome of the write, if it completed within the call. */
  writeStatus?: number | null;
}

/** What can be written: one piece, or several that are written together. */
export type Written = string | Uint8Array | readonly (string | Uint8Array)[];

/** The object that a handle notifies. */
export interface HandleOwner {
  /** How many bytes the handle had read before; kept by this file. */
  bytesRead: number;
  /** Bytes were read, into the shared buffer. */
  bytesReceived(length: number): void;
  readEnded(): void;
  readFailed(error: Error): void;
  /** A write that returned `later` is complete, or has failed. @param status 0, or the number of an error. */
  writeCompleted(status: number): void;
  shutDown(): void;
  closed(): void;
}

/** What can be done with handles. */
export interface Handles {
  /** Whether a handle has everything that is used of it. */
  fits(handle: object | null | undefined): handle is Handle;
  /** Makes a handle, which is not reading, notify its owner. */
  own(handle: Handle, owner: HandleOwner): void;
  /**
   * Writes in one system call.
   *
   * @returns `now` if the kernel took everything, `later` if not, or the number of an error.
   */
  write(handle: Handle, data: Written, owner: HandleOwner): 'now' | 'later' | number;
  /** Sends a FIN after what was written. @returns Whether `shutDown` follows. If not, nothing is left to be shut down. */
  shutdown(handle: Handle, owner: HandleOwner): boolean;
  /** Frees the descriptor. `closed` follows. */
  close(handle: Handle): void;
  /** The same with a RST, for a handle of TCP that is not being shut down. */
  reset(handle: Handle): void;
  readonly learnt: Learnt;
}

/** What is learnt of this Node, for the handles of TLS. */
export interface Learnt {
  /** The symbol under which a handle has its stream. */
  readonly key: symbol;
  /** The class of the requests of writes; `undefined` if Node makes them itself. */
  readonly WriteRequest: (new () => Request) | undefined;
  /** Finds out why a handle called `onread` without bytes, and notifies its owner. */
  readNothing(handle: Handle, owner: Pick<HandleOwner, 'readEnded' | 'readFailed'>): void;
}
