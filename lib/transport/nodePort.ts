import { createServer, type ListenOptions, type Socket } from 'node:net';
import type { Handle, Handles } from './handle.ts';
import { HandleSocket } from './handleSocket.ts';
import { NetSocket } from './netSocket.ts';
import { Accepting, type ListeningHandle, takeAccepted } from './nodeListening.ts';
import { HIGH_WATER_MARK, probeDelay } from './nodeOptions.ts';
import { systemError } from './systemError.ts';
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
  let accepting: Accepting | undefined;
  server.on('listening', () => {
    const listening = handles && take(server, handles, { noDelay, keepAlive: delay }, handler);
    accepting = listening && new Accepting(listening);
    handler.listening(boundTo(server.address(), where), accepting ? 'handle' : 'net');
  });
  server.on('error', (error) => handler.error(error));
  server.listen({ ...named(where), backlog } satisfies ListenOptions);
  if (handles === undefined) return { close: () => server.close() };
  return {
    close() {
      server.close();
      accepting?.close();
    },
    pause: () => accepting?.pause() ?? false,
    resume() {
      const status = accepting?.resume() ?? 0;
      if (status !== 0) process.nextTick(fail, handler, systemError('accept', status));
    },
  };
}

/** For `process.nextTick`, because a handler is not notified within the call that it makes. */
function fail(handler: PortHandler, error: Error): void {
  handler.error(error);
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

/** @returns The handle of the server, if what it accepts becomes sockets without the server. */
function take(
  server: ReturnType<typeof createServer>,
  handles: Handles,
  options: HandleOptions,
  handler: PortHandler,
): ListeningHandle | undefined {
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
  return listening;
}

function set(handle: Pick<Handle, 'setNoDelay' | 'setKeepAlive'>, { noDelay, keepAlive }: HandleOptions): void {
  if (noDelay) handle.setNoDelay?.(true);
  if (keepAlive !== false) handle.setKeepAlive?.(true, Math.trunc(keepAlive / 1000));
}

function boundTo(bound: string | { address: string; port: number } | null, where: Where): Address {
  if (bound !== null && typeof bound === 'object') return { address: bound.address, port: bound.port };
  return { address: bound ?? ('path' in where ? where.path : undefined), port: undefined };
}
