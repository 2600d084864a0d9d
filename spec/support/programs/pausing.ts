// A port of the transport that pauses, and nothing else that keeps the process alive. Its first peer sends commands, and each is
// answered by a line of JSON. What any other peer sends is echoed. The argument is JSON: `where` to listen.
import { readdirSync } from 'node:fs';
import { nodeTransport } from '../../../lib/index.ts';
import type { Port, TransportSocket } from '../../../lib/transport/transport.ts';

const { where } = JSON.parse(process.argv[2] ?? '{}');
const nothing = () => undefined;
let accepted = 0;

const commands: Record<string, (socket: TransportSocket) => unknown> = {
  pause: () => port.pause?.(),
  resume: () => port.resume?.(),
  close: () => port.close(),
  accepted: () => accepted,
  descriptors: () => readdirSync('/proc/self/fd').length,
  cycles: () => {
    for (let cycle = 0; cycle < 4000; cycle++) {
      port.pause?.();
      port.resume?.();
    }
  },
};

function serve(socket: TransportSocket): void {
  const isFirst = accepted++ === 0;
  socket.handler = {
    received(chunk) {
      const text = String(chunk);
      if (isFirst) socket.write(`${JSON.stringify(commands[text]?.(socket) ?? 'done')}\n`);
      else socket.write(text);
    },
    peerEnded: () => socket.end(),
    writable: nothing,
    finished: nothing,
    writeFailed: () => socket.destroy(),
    failed: nothing,
    // Only a process that something else keeps alive prints this.
    freed: () => isFirst && setTimeout(() => process.stdout.write('alive\n'), 100).unref(),
  };
  socket.resume();
}

const port: Port = nodeTransport.listen(
  where,
  { backlog: 511, noDelay: true, keepAlive: false },
  {
    listening: (address) => process.stdout.write(`listening ${address.port ?? address.address}\n`),
    accepted: serve,
    error: (error) => {
      throw error;
    },
  },
);
process.on('SIGUSR2', () => port.resume?.());
