/**
 * node:net, a `write` per reply, corked by hand: all replies to one read leave in one system call. Lines remain bytes, because
 * corked strings cost about half as much again, and this server is the best of its kind.
 */
import { createServer, type Socket } from 'node:net';
import type { Mode } from '../load/job.ts';
import { pick, readArguments, start } from './program.ts';

const newline = 10;

const handlers: Partial<Record<Mode, (socket: Socket) => void>> = {
  lines(socket) {
    let rest: Buffer | undefined;
    socket.on('data', (bytes) => {
      const input = rest === undefined ? bytes : Buffer.concat([rest, bytes]);
      let at = 0;
      socket.cork();
      for (let end = input.indexOf(newline); end >= 0; end = input.indexOf(newline, at)) {
        socket.write(input.subarray(at, end + 1));
        at = end + 1;
      }
      socket.uncork();
      rest = at < input.length ? input.subarray(at) : undefined;
      if (socket.writableNeedDrain) waitForDrain(socket);
    });
  },

  'length-prefixed'(socket) {
    let rest: Buffer | undefined;
    socket.on('data', (bytes) => {
      const input = rest === undefined ? bytes : Buffer.concat([rest, bytes]);
      let at = 0;
      socket.cork();
      while (input.length - at >= 4) {
        const end = at + 4 + input.readUInt32BE(at);
        if (end > input.length) break;
        socket.write(input.subarray(at, end));
        at = end;
      }
      socket.uncork();
      rest = at < input.length ? input.subarray(at) : undefined;
      if (socket.writableNeedDrain) waitForDrain(socket);
    });
  },
};

function waitForDrain(socket: Socket): void {
  socket.pause();
  socket.once('drain', () => socket.resume());
}

const settings = readArguments();
const handle = pick(handlers, settings.mode);
const server = createServer({ noDelay: true }, (socket) => {
  // An error of the client is not a fault of the server.
  socket.on('error', () => socket.destroy());
  handle(socket);
});
start(server, settings);
