import { type NetConnectOpts, Socket } from 'node:net';
import type { Handles } from './handle.ts';
import { HandleSocket } from './handleSocket.ts';
import { NetSocket } from './netSocket.ts';
import { takeConnected } from './nodeInternals.ts';
import { HIGH_WATER_MARK, probeDelay } from './nodeOptions.ts';
import type { Destination, Dial, DialHandler, SocketOptions } from './transport.ts';

/**
 * `Transport.connect`. A `net.Socket` connects, because it looks up names and tries one address after the other.
 *
 * @param handles What can be done with the handle of the connected socket; without it the socket itself is used.
 */
export function dial(
  where: Destination,
  { noDelay, keepAlive }: SocketOptions,
  handler: DialHandler,
  handles: Handles | undefined,
): Dial {
  const delay = probeDelay(keepAlive);
  const socket = new Socket({ allowHalfOpen: true, highWaterMark: HIGH_WATER_MARK } as object);
  if (noDelay) socket.setNoDelay();
  if (delay !== false) socket.setKeepAlive(true, delay);
  // Otherwise the socket reads as soon as it is connected.
  socket.pause();
  const fail = (error: Error) => handler.failed(error);
  socket.once('error', fail);
  socket.once('connect', () => {
    socket.off('error', fail);
    const path = 'path' in where ? where.path : undefined;
    const handle = handles && takeConnected(handles, socket);
    handler.connected(handles && handle ? new HandleSocket(handles, handle, path) : new NetSocket(socket, path));
  });
  socket.connect(where as NetConnectOpts);
  return {
    cancel() {
      if (socket.connecting) socket.off('error', fail).on('error', ignore).destroy();
    },
  };
}

/** The error of a connect that was cancelled. */
const ignore = () => undefined;
