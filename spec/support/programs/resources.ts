// One connection of the transport, accepted or dialled, and nothing else that keeps the process alive. The peer sends commands,
// and each is answered by a line of JSON. The argument is JSON: `listen` or `connect`, with where.
import { nodeTransport } from '../../../lib/index.ts';
import type { Port, TransportSocket } from '../../../lib/transport/transport.ts';

const options = { backlog: 511, noDelay: true, keepAlive: false as const };
const { listen, connect } = JSON.parse(process.argv[2] ?? '{}');
let port: Port | undefined;

const resources = () => process.getActiveResourcesInfo().sort();

const commands: Record<string, (socket: TransportSocket) => unknown> = {
  resources,
  closePort: () => void port?.close(),
  pause: (socket) => socket.pause(),
};

function serve(socket: TransportSocket): void {
  const nothing = () => undefined;
  socket.handler = {
    received(chunk) {
      const command = commands[String(chunk)];
      socket.write(`${JSON.stringify(command?.(socket) ?? 'done')}\n`);
    },
    peerEnded: () => socket.end(),
    writable: nothing,
    finished: nothing,
    writeFailed: () => socket.destroy(),
    failed: nothing,
    freed: nothing,
  };
  socket.resume();
}

const fail = (error: Error) => {
  throw error;
};

if (listen)
  port = nodeTransport.listen(listen, options, {
    listening: (address) => process.stdout.write(`listening ${address.port ?? address.address}\n`),
    accepted: serve,
    error: fail,
  });
else nodeTransport.connect?.(connect, options, { connected: serve, failed: fail });
