/** node:net, lines decoded once a read; the replies are joined to one string for one `write`. */
import { createServer, type Socket } from 'node:net';
import type { Mode } from '../load/job.ts';
import { pick, readArguments, start } from './program.ts';

const handlers: Partial<Record<Mode, (socket: Socket) => void>> = {
  lines(socket) {
    let rest = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      let replies = '';
      for (const line of lines) replies += `${line}\n`;
      if (replies !== '' && !socket.write(replies)) waitForDrain(socket);
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
