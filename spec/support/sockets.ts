import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { ConnectionSettings } from '../../lib/connection/settings.ts';
import { SocketConnection } from '../../lib/connection/socketConnection.ts';
import { nodeTransport } from '../../lib/transport/node.ts';
import type { Address, Port, Transport, TransportSocket, Where } from '../../lib/transport/transport.ts';
import { RecordingOwner } from './peers.ts';
import { settings } from './settings.ts';

export interface Opened {
  readonly port: Port;
  readonly address: Address;
  /** Connects a client. Its errors are ignored, unless the spec listens for them. */
  connect(): Socket;
}

/** Opens a port of the real transport. `accepted` is called with each socket. */
export async function open(
  accepted: (socket: TransportSocket) => void,
  where: Where = { port: 0, host: '127.0.0.1' },
  transport: Transport = nodeTransport,
): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const port = transport.listen(
      where,
      { backlog: 511, noDelay: true, keepAlive: false },
      {
        listening: (address) => resolve({ port, address, connect: () => dial(address) }),
        accepted,
        error: reject,
      },
    );
  });
}

export interface Served extends Opened {
  readonly owner: RecordingOwner;
}

/** Opens a port that makes a connection of each socket. */
export async function openConnections(
  accepted: (connection: SocketConnection) => void,
  some: Partial<ConnectionSettings> = {},
  where?: Where,
): Promise<Served> {
  const owner = new RecordingOwner();
  let id = 0;
  const opened = await open(
    (socket) =>
      accepted(new SocketConnection(++id, socket, settings({ maxOutbound: Number.POSITIVE_INFINITY, ...some }), owner)),
    where,
  );
  return { ...opened, owner };
}

export function dialTo(port: number): Socket {
  return dial({ address: '127.0.0.1', port });
}

function dial({ address, port }: Address): Socket {
  if (address === undefined) throw new Error('the port has no address');
  const options = port === undefined ? { path: address } : { host: address, port };
  return connect({ ...options, allowHalfOpen: true }).on('error', () => undefined);
}

/** All bytes up to the server's FIN. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}
