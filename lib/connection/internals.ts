import { describe } from '../options.ts';
import type { Connection } from './connection.ts';
import { SocketConnection } from './socketConnection.ts';

/**
 * The library's side of a connection that the user hands in.
 *
 * @param what Completes the sentence "Cannot …" of the error.
 * @throws TypeError if it is not a connection of `listen`, `serve` or `connect`.
 */
export function internals(connection: Connection, what: string): SocketConnection {
  if (connection instanceof SocketConnection) return connection;
  throw new TypeError(`Cannot ${what}: ${describe(connection)} is not a connection of listen, serve or connect`);
}
