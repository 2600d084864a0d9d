import { type NetConnectOpts, Socket } from 'node:net';
import { HIGH_WATER_MARK, probeDelay, sharesReads } from './nodeOptions.ts';
import { NodeSocket } from './nodeSocket.ts';
import { onData } from './ownedSocket.ts';
import { sharedBuffer } from './sharedReads.ts';
import type { Destination, Dial, DialHandler, SocketOptions } from './transport.ts';

/** `Transport.connect`, with a `net.Socket`. */
export function dial(where: Destination, { noDelay, keepAlive }: SocketOptions, handler: DialHandler): Dial {
  const delay = probeDelay(keepAlive);
  const borrows = sharesReads();
  const reads = borrows ? { onread: sharedBuffer(onData) } : {};
  const options = { ...reads, allowHalfOpen: true, highWaterMark: HIGH_WATER_MARK };
  const socket = new Socket(options);
  if (noDelay) socket.setNoDelay();
  if (delay !== false) socket.setKeepAlive(true, delay);
  // Otherwise the socket reads as soon as it is connected.
  socket.pause();
  const fail = (error: Error) => handler.failed(error);
  socket.once('error', fail);
  socket.once('connect', () => {
    socket.off('error', fail);
    handler.connected(new NodeSocket(socket, borrows, 'path' in where ? where.path : undefined));
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
