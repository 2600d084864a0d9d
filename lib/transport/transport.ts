/**
 * The first seam: all that Sluice asks of a network. `nodeTransport` is the real one; the one in `sluice/testing` lives
 * in memory and on virtual time.
 */
export interface Transport {
  /**
   * Opens a port. Nothing happens before this returns: the handler is called in a later turn.
   *
   * @param where What to listen on.
   * @param options How.
   * @param handler Told of the bound address, of each socket, and of errors.
   */
  listen(where: Where, options: TransportOptions, handler: PortHandler): Port;
  /**
   * Opens a connection. Nothing happens before this returns: the handler is called in a later turn, once. A transport that
   * only serves can do without.
   *
   * @param where What to connect to.
   * @param options How.
   * @param handler Given the connected socket, or told why there is none.
   */
  connect?(where: Destination, options: SocketOptions, handler: DialHandler): Dial;
}

/** Where to listen: a TCP port, a unix socket, or a descriptor that is listening already (as systemd hands one over). */
export type Where =
  | {
      /** The TCP port; 0 for any that is free. */
      readonly port: number;
      /** The address or name to bind. @default every address, IPv6 and IPv4 */
      readonly host?: string | undefined;
      /** Whether to leave IPv4 out when bound to every IPv6 address. @default false */
      readonly ipv6Only?: boolean | undefined;
    }
  | {
      /** The path of a unix socket. */
      readonly path: string;
    }
  | {
      /** The number of a descriptor that is listening. */
      readonly fd: number;
    };

/** Where to connect to: a TCP port or a unix socket. */
export type Destination =
  | {
      /** The TCP port. */
      readonly port: number;
      /** The address or name of the machine. @default 'localhost' */
      readonly host?: string | undefined;
    }
  | {
      /** The path of a unix socket. */
      readonly path: string;
    };

/** What a socket is told when it is made. */
export interface SocketOptions {
  /** Whether small writes leave at once. */
  readonly noDelay: boolean;
  /** Milliseconds of silence before the first keep-alive probe, or `false` for none. */
  readonly keepAlive: number | false;
}

/** What a port is told when it is opened. */
export interface TransportOptions extends SocketOptions {
  /** Connections that the kernel keeps ready. */
  readonly backlog: number;
}

/** One end of a connection. A unix socket's ends have a path at most, and no port. */
export interface Address {
  /** The IP address or the path of the unix socket; `undefined` if the peer had gone before it could be asked for. */
  readonly address: string | undefined;
  /** The port; `undefined` for a unix socket, or if the peer had gone before it could be asked for. */
  readonly port: number | undefined;
}

/** An open port. */
export interface Port {
  /** Stops listening. Sockets that were accepted stay as they are. */
  close(): void;
}

/** Who is told what happens at a port. */
export interface PortHandler {
  /** The port is open, and bound to this address. */
  listening(address: Address): void;
  /** A socket was accepted. It is paused, and must be given a handler in this call. */
  accepted(socket: TransportSocket): void;
  /** The port could not be opened, or one accept went wrong. */
  error(error: Error): void;
}

/** A connection that is being made. */
export interface Dial {
  /** Gives it up: the handler is not called any more. Once it has been, this changes nothing. */
  cancel(): void;
}

/** Who is told what becomes of a connection that is being made. */
export interface DialHandler {
  /** It is made. The socket is paused, and must be given a handler in this call. */
  connected(socket: TransportSocket): void;
  /** It could not be made. */
  failed(error: Error): void;
}

/** A connected socket, as a transport offers it. It reads nothing until `resume`, and stays half-open. */
export interface TransportSocket {
  /** Set by whoever takes the socket, once, before anything else. */
  handler: SocketHandler;
  /** Our end, as long as the socket is there. */
  readonly local: Address;
  /** The other end, as it was at accept. */
  readonly peer: Address;
  /** The number of its descriptor, where there is one. The lowest free number is what a new descriptor gets. */
  readonly descriptor: number | undefined;
  /** Whether the chunks handed to `received` are borrowed: overwritten after the call. */
  readonly borrows: boolean;
  /** Bytes that were written and that the peer's side has not taken. Falls while a large write makes progress. */
  readonly pending: number;
  /** Bytes handed to the network, and those still waiting for it. */
  readonly bytesWritten: number;
  /**
   * Whether a paused socket does not notice that the peer resets the connection, so that `alive` is to be asked while it is
   * paused. Constant, and asked often: it must be cheap.
   */
  readonly needsPolling: boolean;
  /**
   * The share of its send buffer that the network frees before it takes more: until then it does not show that the peer reads. 0
   * where room is reported at once. @default 0
   */
  readonly roomStep?: number;
  /**
   * Whether the connection still stands, for one that is not being read and so does not notice; `undefined` where the
   * transport cannot tell, or notices anyway.
   */
  readonly alive: boolean | undefined;
  resume(): void;
  pause(): void;
  /**
   * Writes in order, in one go.
   *
   * @returns Whether the network took all at once. If not, `drained` follows when it has.
   */
  write(data: string | Uint8Array | readonly (string | Uint8Array)[]): boolean;
  /** Sends a FIN after what was written; `finished` follows. */
  end(): void;
  /** Closes at once, in both directions. */
  destroy(): void;
  /** Closes at once, and tells the peer with a RST. What is unsent is dropped. */
  reset(): void;
}

/** Who is told what happens to a socket. */
export interface SocketHandler {
  /** Bytes came; never while paused, never empty. */
  received(chunk: Uint8Array): void;
  /** The peer's FIN: no more will come. */
  peerEnded(): void;
  /** All that was written has been taken. */
  writable(): void;
  /** Our FIN is out, behind all that was written. */
  finished(): void;
  /**
   * A write failed: nothing more can be sent, and no other write may follow. What the peer sent before can still be read;
   * then comes `peerEnded`, or `broken`. The handler closes the socket. Never called within `write`.
   */
  writeFailed(error: Error): void;
  /** The peer or the network broke it off. `freed` follows. */
  failed(error: Error): void;
  /** The socket is gone and its descriptor free. Called once, last. */
  freed(): void;
}
