import { createServer, type ListenOptions, type Socket } from 'node:net';
import { HIGH_WATER_MARK, probeDelay, sharesReads } from './nodeOptions.ts';
import { NodeSocket } from './nodeSocket.ts';
import { onData } from './ownedSocket.ts';
import { takeAccepted } from './sharedReads.ts';
import type { Address, Port, PortHandler, TransportOptions, Where } from './transport.ts';

/** `Transport.listen`, with a `net.Server`. */
export function listen(where: Where, { backlog, noDelay, keepAlive }: TransportOptions, handler: PortHandler): Port {
  const delay = probeDelay(keepAlive);
  const server = createServer({
    allowHalfOpen: true,
    pauseOnConnect: true,
    noDelay,
    keepAlive: delay !== false,
    keepAliveInitialDelay: delay === false ? 0 : delay,
    highWaterMark: HIGH_WATER_MARK,
  });
  server.on('connection', (socket) => handler.accepted(new NodeSocket(socket, false)));
  server.on('listening', () => {
    if (sharesReads()) {
      const accepted = (socket: Socket) => handler.accepted(new NodeSocket(socket, true));
      takeAccepted(server, { noDelay, keepAlive: delay, highWaterMark: HIGH_WATER_MARK }, onData, accepted);
    }
    handler.listening(boundTo(server.address(), where));
  });
  server.on('error', (error) => handler.error(error));
  server.listen({ ...where, backlog } satisfies ListenOptions);
  return { close: () => server.close() };
}

function boundTo(bound: string | { address: string; port: number } | null, where: Where): Address {
  if (bound !== null && typeof bound === 'object') return { address: bound.address, port: bound.port };
  return { address: bound ?? ('path' in where ? where.path : undefined), port: undefined };
}
