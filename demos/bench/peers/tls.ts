/** node:tls, a `write` per reply: the straightforward version, which pauses its input while the peer does not read. */
import { createServer } from 'node:tls';
import { pick, readArguments, readCertificate, start, waitForDrain } from './program.ts';

const settings = readArguments();
pick({ tls: true }, settings.mode);
const server = createServer({ ...readCertificate(), noDelay: true }, (socket) => {
  // An error of the client is not a fault of the server.
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes) => {
    if (!socket.write(bytes)) waitForDrain(socket);
  });
});
start(server, settings);
