import { getSystemErrorName } from 'node:util';

/**
 * A TCP client on the bare handle of Node, without a `net.Socket`: thousands of them cost less than the server that they load.
 * `process.binding` is not documented; the members that are used here are the same in Node 20, 22, 24 and 26.
 */
interface Handle {
  onread: () => void;
  bind(address: string, port: number): number;
  connect(request: object, address: string, port: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  setNoDelay(on: boolean): number;
  readStart(): number;
  writeLatin1String(request: object, text: string): number;
  close(): void;
}
interface TcpBinding {
  readonly TCP: new (kind: number) => Handle;
  readonly TCPConnectWrap: new () => { oncomplete: (status: number) => void };
  readonly constants: { readonly SOCKET: number };
}
interface StreamBinding {
  readonly WriteWrap: new () => { oncomplete: () => void };
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
}

const { binding } = process as unknown as { binding(name: string): unknown };
const { TCP, TCPConnectWrap, constants } = binding('tcp_wrap') as TcpBinding;
const { WriteWrap, streamBaseState, kReadBytesOrError } = binding('stream_wrap') as StreamBinding;

/** libuv's number of the end of a stream. */
const EOF = -4095;

/** The read buffer of all clients. Only the number of bytes matters, and the last one. */
const shared = Buffer.allocUnsafe(64 * 1024);
const newline = 10;

/** How a connection ended: by a FIN, by a RST, or it was never established. */
export type Ending = 'fin' | 'reset' | 'failed';

export interface ClientOwner {
  opened(client: RawClient): void;
  /** Bytes have come. @param isLine Whether the last one ends a line. */
  received(client: RawClient, isLine: boolean): void;
  /** The server, or the network, has ended the connection. Not called after `close`. @param code That of a connect that failed. */
  ended(client: RawClient, how: Ending, code?: string): void;
}

export class RawClient {
  /** When the SYN was sent, by `performance.now()`. */
  readonly since = performance.now();
  readonly #handle = new TCP(constants.SOCKET);
  #isClosed = false;

  /** @param from The local address, such as `127.0.0.2`. */
  constructor(port: number, from: string, owner: ClientOwner) {
    const handle = this.#handle;
    const request = new TCPConnectWrap();
    request.oncomplete = (status) => {
      if (this.#isClosed) return;
      if (status !== 0) return this.#end(owner, 'failed', status);
      handle.setNoDelay(true);
      handle.readStart();
      owner.opened(this);
    };
    handle.useUserBuffer(shared);
    handle.onread = () => {
      const length = streamBaseState[kReadBytesOrError] ?? 0;
      if (this.#isClosed || length === 0) return;
      if (length > 0) owner.received(this, shared[length - 1] === newline);
      else this.#end(owner, length === EOF ? 'fin' : 'reset');
    };
    const status = handle.bind(from, 0) || handle.connect(request, '127.0.0.1', port);
    if (status !== 0) setImmediate(() => this.#isClosed || this.#end(owner, 'failed', status));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(text: string): void {
    if (this.#isClosed) return;
    const request = new WriteWrap();
    request.oncomplete = () => undefined;
    // If it fails, the next read reports it.
    this.#handle.writeLatin1String(request, text);
  }

  /** Sends a FIN, or a RST if there is unread input. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#handle.close();
  }

  #end(owner: ClientOwner, how: Ending, status = 0): void {
    this.close();
    owner.ended(this, how, status < 0 ? getSystemErrorName(status) : undefined);
  }
}
