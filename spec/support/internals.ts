import type { SchedulerLike } from 'rxjs';
import { SocketConnection } from '../../lib/connection/socketConnection.ts';

/** The library's side of a connection, which specs read and users cannot see. */
export const internalsOf = (connection: { readonly id: number }): SocketConnection => connection as SocketConnection;

/** The clock of a connection, for a handler in a spec on virtual time. */
export const clockOf = (connection: { readonly id: number }): SchedulerLike => internalsOf(connection).clock;

/** A connection without a socket that has only these members. */
export const connectionWith = (members: object): SocketConnection =>
  Object.create(SocketConnection.prototype, Object.getOwnPropertyDescriptors(members));
