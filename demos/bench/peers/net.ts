/** node:net, a `write` per reply: the straightforward version, which pauses its input while the peer does not read. */
import { createServer, type Socket } from 'node:net';
import type { BytesMode } from '../load/job.ts';
import { count64, pattern, pick, readArguments, start, waitForDrain } from './program.ts';

const handlers: Record<BytesMode, (socket: Socket) => void> = {
  echo(socket) {
    socket.on('data', (bytes) => {
      if (!socket.write(bytes)) waitForDrain(socket);
    });
  },

  lines(socket) {
    let rest = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) socket.write(`${line}\n`);
      if (socket.writableNeedDrain) waitForDrain(socket);
    });
  },

  once(socket) {
    let rest = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      rest += text;
      const end = rest.indexOf('\n');
      if (end >= 0) socket.end(`${rest.slice(0, end)}\n`);
    });
  },

  async(socket) {
    let rest = '';
    socket.setEncoding('utf8');
    socket.on('data', async (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) socket.write(await answer(line));
      if (socket.writableNeedDrain) waitForDrain(socket);
    });
  },

  'length-prefixed'(socket) {
    let rest: Buffer | undefined;
    socket.on('data', (bytes) => {
      const input = rest === undefined ? bytes : Buffer.concat([rest, bytes]);
      let at = 0;
      while (input.length - at >= 4) {
        const end = at + 4 + input.readUInt32BE(at);
        if (end > input.length) break;
        // The slice includes the header of the frame, because the reply needs the same header.
        socket.write(input.subarray(at, end));
        at = end;
      }
      rest = at < input.length ? input.subarray(at) : undefined;
      if (socket.writableNeedDrain) waitForDrain(socket);
    });
  },

  discard(socket) {
    let count = 0;
    socket.on('data', (bytes) => {
      count += bytes.length;
    });
    socket.on('end', () => socket.end(count64(count)));
  },

  source(socket) {
    let left = 0;
    const fill = () => {
      let room = true;
      while (left > 0 && room) {
        room = socket.write(left < pattern.length ? pattern.subarray(0, left) : pattern);
        left -= Math.min(left, pattern.length);
      }
    };
    socket.on('drain', fill);
    socket.once('data', (request) => {
      left = Number(request.readBigUInt64BE());
      fill();
    });
  },
};

const answer = async (line: string) => `${line}\n`;

const settings = readArguments();
const handle = pick(handlers, settings.mode);
const server = createServer({ noDelay: true, allowHalfOpen: settings.mode === 'discard' }, (socket) => {
  // An error of the client is not a fault of the server.
  socket.on('error', () => socket.destroy());
  handle(socket);
});
start(server, settings);
