import { createServer, type ListenOptions, type Socket } from 'node:net';
import type { Handle, Handles } from './handle.ts';
import { HandleSocket } from './handleSocket.ts';
import { NetSocket } from './netSocket.ts';
import { takeAccepted } from './nodeInternals.ts';
import { HIGH_WATER_MARK, probeDelay } from './nodeOptions.ts';
import type { Address, Port, PortHandler, TransportOptions, Where } from './transport.ts';

/**
 * `Transport.listen`, with a `net.Server`.
 *
 * @param handles What can be done with the handles that the server accepts; without it each becomes a `net.Socket`.
 */
export function listen(
  where: Where,
  { backlog, noDelay, keepAlive }: TransportOptions,
  handler: PortHandler,
  handles: Handles | undefined,
): Port {
  const delay = probeDelay(keepAlive);
  const server = createServer({
    allowHalfOpen: true,
    pauseOnConnect: true,
    noDelay,
    keepAlive: delay !== false,
    keepAliveInitialDelay: delay === false ? 0 : delay,
    highWaterMark: HIGH_WATER_MARK,
  });
  // Also of a server whose handles are taken: an accepted handle may have another shape.
  server.on('connection', (socket: Socket) => handler.accepted(new NetSocket(socket)));
  server.on('listening', () => {
    const isTaken = handles !== undefined && take(server, handles, { noDelay, keepAlive: delay }, handler);
    handler.listening(boundTo(server.address(), where), isTaken ? 'handle' : 'net');
  });
  server.on('error', (error) => handler.error(error));
  server.listen({ ...named(where), backlog } satisfies ListenOptions);
  return { close: () => server.close() };
}

/** Node 20 ignores `ipv6Only` without a host, and would accept IPv4 connections. */
function named(where: Where): Where {
  return 'port' in where && where.ipv6Only && where.host === undefined ? { ...where, host: '::' } : where;
}

interface HandleOptions {
  readonly noDelay: boolean;
  /** Milliseconds before the first keep-alive probe, or `false` for none. */
  readonly keepAlive: number | false;
}

/** @returns Whether the handles that the server accepts become sockets without the server. */
function take(
  server: ReturnType<typeof createServer>,
  handles: Handles,
  options: HandleOptions,
  handler: PortHandler,
): boolean {
  const listening = takeAccepted(server, (handle) => {
    if (!handles.fits(handle)) return false;
    if (!isInherited) set(handle, options);
    handler.accepted(new HandleSocket(handles, handle));
    return true;
  });
  // On Linux an accepted socket inherits the options of the listening one, which saves five system calls per connection. In a
  // worker of a cluster the listening socket is the primary's, and options cannot be set on the handle that represents it here.
  const isInherited = process.platform === 'linux' && typeof listening?.setNoDelay === 'function';
  if (isInherited) set(listening, options);
  return listening !== undefined;
}

function set(handle: Pick<Handle, 'setNoDelay' | 'setKeepAlive'>, { noDelay, keepAlive }: HandleOptions): void {
  if (noDelay) handle.setNoDelay?.(true);
  if (keepAlive !== false) handle.setKeepAlive?.(true, Math.trunc(keepAlive / 1000));
}

function boundTo(bound: string | { address: string; port: number } | null, where: Where): Address {
  if (bound !== null && typeof bound === 'object') return { address: bound.address, port: bound.port };
  return { address: bound ?? ('path' in where ? where.path : undefined), port: undefined };
}
