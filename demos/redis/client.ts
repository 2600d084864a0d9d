import type { ByteString, Form, Reply } from './resp/reply.ts';

/** The connection below a session. */
export interface Peer {
  /** Addresses, `host:port`. */
  readonly address: string;
  readonly localAddress: string;
  /** Sends a message that is no reply. */
  push(message: Reply): void;
  /** Ends the connection once everything sent has been flushed. */
  close(): void;
  /** Ends the connection with an error. */
  abort(error: Error): void;
  /** Reserves bytes for data stored for the client beside the keys; a negative number frees them. @returns Whether they fit. */
  hold(bytes: number): boolean;
  /** Longest reply, in bytes. */
  readonly maxReply: number;
  /** Bytes that were sent and are still in our queue. */
  readonly unsent: number;
  /** Bytes received and sent so far. */
  readonly moved: number;
}

/** One connected client, as the rest of the server sees it: what CLIENT LIST shows, and what the limits need. */
export interface Client {
  readonly id: number;
  readonly peer: Peer;
  /** When it connected, in milliseconds since 1970. */
  readonly since: number;
  readonly clientName: string;
  /** The version of the protocol that it speaks. */
  readonly form: Form;
  /** What the client reports about its library: `lib-name`, `lib-ver`. */
  readonly library: ReadonlyMap<string, ByteString>;
  readonly channels: ReadonlySet<ByteString>;
  readonly patterns: ReadonlySet<ByteString>;
  /** Channels and patterns together. */
  readonly subscriptions: number;
  readonly transaction: { readonly open: boolean; readonly length: number; readonly bytes: number };
  readonly lastCommand: string;
  /** When it last sent a command, or moved bytes, in milliseconds since 1970. */
  lastActive: number;
  /** Since when it has had too much unsent, in milliseconds since 1970; `Infinity` while it has not. */
  behindSince: number;
  /** Whether bytes have been received or sent since the last call. */
  hasMoved(): boolean;
  /** Ends the connection after the reply to the running command. */
  quit(): Reply;
  /** Ends the connection from outside. */
  kill(): void;
}
