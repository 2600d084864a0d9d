/** The peers of a crowd, in a process of their own. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { constants, setPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { hello } from '../../../spec/support/clientHello.ts';
import type { CrowdReport, Manner } from './crowd.ts';

const [manner, port, count] = process.argv.slice(2) as [Manner, string, string];

let there = 0;
let gone = 0;
let failed = 0;
let shortest = Number.POSITIVE_INFINITY;
let longest = 0;

/** A connected peer. */
async function dial(): Promise<Socket> {
  const begun = performance.now();
  const socket = connect(Number(port), '127.0.0.1').setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('close', () => {
    gone++;
    const life = performance.now() - begun;
    shortest = Math.min(shortest, life);
    longest = Math.max(longest, life);
  });
  await once(socket, 'connect');
  return socket;
}

const context = createSecureContext();

function join(socket: Socket): void {
  // The certificate is verified in other soaks. Here that would only cost CPU time of the client.
  const client = connectTls({ socket, secureContext: context, rejectUnauthorized: false, servername: 'localhost' });
  let isServed = false;
  client.on('error', () => undefined);
  client.on('close', () => {
    if (!isServed) failed++;
  });
  client.on('data', () => {
    isServed = true;
    there++;
    client.end();
  });
  client.write('ping\n');
}

setPriority(constants.priority.PRIORITY_LOW);
const first = manner === 'halfway' ? await hello() : undefined;
const sockets: Socket[] = [];
while (sockets.length < Number(count)) {
  const wanted = Math.min(50, Number(count) - sockets.length);
  const some = await Promise.all(Array.from({ length: wanted }, dial));
  for (const socket of some) {
    // It reads the end of the connection, and what the server sends before.
    if (manner !== 'storm') socket.resume();
    if (first) socket.write(first);
    if (manner !== 'storm') there++;
  }
  sockets.push(...some);
  // What many peers that come together do is another soak: the storm.
  if (manner !== 'storm') await pause(200);
}

process.on('message', (question: 'begin' | 'report') => {
  if (question === 'begin') for (const socket of sockets) join(socket);
  else process.send?.({ there, gone, failed, lives: [shortest, longest] } satisfies CrowdReport);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
