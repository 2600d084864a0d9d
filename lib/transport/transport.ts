import type { Socket } from 'node:net';

/**
 * A network, as Sluice uses it. `nodeTransport` is the real one. `MemoryNetwork` in `sluice/testing` has one in memory, which
 * can run on virtual time.
 */
export interface Transport {
  /**
   * Opens a port. The handler is called after this returns, never within the call.
   *
   * @param where What to listen on.
   * @param options The options of the port and of each socket that it accepts.
   * @param handler Notified of the bound address, of each accepted socket, and of errors.
   */
  listen(where: Where, options: TransportOptions, handler: PortHandler): Port;
  /**
   * Opens a connection. The handler is called once, after this returns, never within the call. A transport that is only used to
   * serve does not need this method.
   *
   * @param where What to connect to.
   * @param options The options of the socket.
   * @param handler Notified of the connected socket, or of the error.
   */
  connect?(where: Destination, options: SocketOptions, handler: DialHandler): Dial;
}

/** Where to listen: a TCP port, a unix socket, or a descriptor that is already listening, such as one that systemd passes. */
export type Where =
  | {
      /** The TCP port; 0 for any free one. */
      readonly port: number;
      /** The address or host name to bind. @default every address, IPv6 and IPv4 */
      readonly host?: string | undefined;
      /** Whether to accept no IPv4 connections when bound to every IPv6 address. @default false */
      readonly ipv6Only?: boolean | undefined;
    }
  | {
      /** The path of a unix socket. */
      readonly path: string;
    }
  | {
      /** The number of a descriptor that is already listening. */
      readonly fd: number;
      /**
       * Whether another process keeps the socket open, as systemd does. Then a drain leaves the clients that are not accepted yet to
       * the next process, in the queue of the kernel. @default false
       */
      readonly held?: boolean | undefined;
    };

/** Where to connect to: a TCP port or a unix socket. */
export type Destination =
  | {
      /** The TCP port. */
      readonly port: number;
      /** The address or host name. @default 'localhost' */
      readonly host?: string | undefined;
    }
  | {
      /** The path of a unix socket. */
      readonly path: string;
    };

/** The options of a socket. */
export interface SocketOptions {
  /** Whether small writes are sent at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** Milliseconds of silence before the first keep-alive probe, or `false` for none. */
  readonly keepAlive: number | false;
}

/** The options of a port, and of each socket that it accepts. */
export interface TransportOptions extends SocketOptions {
  /** How many connections the kernel queues before they are accepted. */
  readonly backlog: number;
}

/** The address of one end of a connection. An end of a unix socket has a path at most, and no port. */
export interface Address {
  /** The IP address, or the path of the unix socket; `undefined` if the peer had closed before the address could be looked up. */
  readonly address: string | undefined;
  /** The port; `undefined` for a unix socket, or if the peer had closed before the port could be looked up. */
  readonly port: number | undefined;
}

/** An open port. */
export interface Port {
  /** Stops listening. Accepted sockets stay open. */
  close(): void;
  /**
   * Stops accepting: clients still connect, and wait in the queue of the network, whose length is the option `backlog`. `accepted`
   * is not called until `resume`. Can be called within `accepted`, and again during a pause. After `close` it does nothing.
   *
   * A port that is paused keeps the process alive, as one that accepts does. If it closes, the clients in the queue are reset.
   *
   * @returns Whether the port is paused. If not, it cannot pause, is closed, or is not open yet. A port that can never pause may lack
   *   this method.
   */
  pause?(): boolean;
  /** Continues to accept after a pause, beginning with the clients in the queue. `accepted` is called later, never within the call. */
  resume?(): void;
}

/** Is notified of what happens at a port. */
export interface PortHandler {
  /**
   * The port is open and bound to this address.
   *
   * @param transport The name of the transport, for the event `listening`: that of Node is `handle` or `net`.
   */
  listening(address: Address, transport?: string): void;
  /** A socket was accepted. It is paused, and its `handler` must be set within this call. */
  accepted(socket: TransportSocket): void;
  /** The port could not be opened, one accept failed, or the port cannot continue to accept after a pause: `error` says why. */
  error(error: Error): void;
}

/** A connection that is being established. */
export interface Dial {
  /** Aborts the connect: the handler is no longer called. Has no effect once the handler has been called. */
  cancel(): void;
}

/** Is notified of the outcome of a connect. */
export interface DialHandler {
  /** The connection is established. The socket is paused, and its `handler` must be set within this call. */
  connected(socket: TransportSocket): void;
  /** The connection could not be established: `error` is that of the system. */
  failed(error: Error): void;
}

/**
 * A connected socket, as a transport offers it. It does not read until `resume`, and stays open after the peer's FIN. It closes
 * by itself once both sides have sent a FIN.
 */
export interface TransportSocket {
  /** Set once, within `accepted` or `connected`, before any other use of the socket. */
  handler: SocketHandler;
  /** The local address, while the socket is open. */
  readonly local: Address;
  /** The peer's address, as it was when the socket was accepted or connected. */
  readonly peer: Address;
  /** The number of the socket's descriptor, if it has one. The system gives a new descriptor the lowest free number. */
  readonly descriptor: number | undefined;
  /** Whether the chunks that are passed to `received` are borrowed: they are overwritten after the call. */
  readonly borrows: boolean;
  /** Whether a write that returns `true` refers to its bytes no more, so that they can be overwritten. @default false */
  readonly copies?: boolean;
  /** Bytes that were written, and that the network has not taken. Decreases while a large write makes progress. */
  readonly pending: number;
  /** Bytes that were written: those that the network has taken, and those that wait for it. */
  readonly bytesWritten: number;
  /**
   * Whether a paused socket does not notice that the peer resets the connection. Then `alive` must be polled while the socket is
   * paused. Constant, and read often: it must be cheap.
   */
  readonly needsPolling: boolean;
  /**
   * The share of its send buffer, from 0 to 1, that the network frees before it takes more bytes. Until then it does not show
   * that the peer reads. 0 if room is reported at once. @default 0
   */
  readonly roomStep?: number;
  /**
   * Whether the connection is still established, for a paused socket, which does not notice a reset. `undefined` if the transport
   * does not know, such as after our FIN, or if its sockets notice a reset anyway.
   */
  readonly alive: boolean | undefined;
  /** Starts reading, or continues. */
  resume(): void;
  /** Stops reading: `received` is not called until `resume`. */
  pause(): void;
  /**
   * Writes the data, or all of its pieces together, in order.
   *
   * @returns Whether the network took everything at once. If not, the handler's `writable` is called when it has, unless the
   *   socket is closed or a write has failed.
   */
  write(data: string | Uint8Array | readonly (string | Uint8Array)[]): boolean;
  /** Sends a FIN after everything that was written. The handler's `finished` follows. */
  end(): void;
  /** Closes both directions at once. */
  destroy(): void;
  /** Closes at once with a RST. Unsent bytes are dropped. */
  reset(): void;
  /**
   * Returns the connection as a `net.Socket`, on which TLS can begin, and gives it away. The socket here must be paused, with no write in flight.
   * From then on it does nothing, and notifies its handler of nothing. A transport without this method has no TLS.
   */
  detach?(): Socket;
}

/** Is notified of what happens to a socket. */
export interface SocketHandler {
  /** Bytes were received. Never called while the socket is paused, and never with an empty chunk. */
  received(chunk: Uint8Array): void;
  /** The peer sent a FIN: no more bytes follow. */
  peerEnded(): void;
  /** The network has taken everything that was written. */
  writable(): void;
  /** Our FIN was sent, after everything that was written. */
  finished(): void;
  /**
   * A write failed, with `error`: nothing more can be sent, and no other write may follow. What the peer sent before can still be read; then
   * `peerEnded` or `failed` follows. The handler closes the socket. Never called within `write`.
   */
  writeFailed(error: Error): void;
  /** The peer or the network aborted the connection: `error` is that of the system. `freed` follows. */
  failed(error: Error): void;
  /** The socket is closed and its descriptor is free. Called once, after everything else. */
  freed(): void;
}
