/** The servers of the soak `leave together`, each in a process of its own: ours, or node:net as its manual has it. */
import { createServer } from 'node:net';
import { map } from 'rxjs';
import { encodeLine, lines, serve } from '../../../lib/index.ts';

const [kind] = process.argv.slice(2);
const where = { port: 0, host: '127.0.0.1', backlog: 4096 };

let left = 0;
let longest = 0;
let last = process.cpuUsage();
let looking = false;

/** Milliseconds of the processor that one iteration of the event loop took, with what it stood still for left out. */
function look(): void {
  const { user, system } = process.cpuUsage(last);
  last = process.cpuUsage();
  longest = Math.max(longest, (user + system) / 1000);
  if (looking) setImmediate(look);
}

process.on('message', (asks: 'look' | 'tell') => {
  if (asks === 'look') {
    left = longest = 0;
    looking = true;
    last = process.cpuUsage();
    setImmediate(look);
    process.send?.({ looking });
  } else {
    process.send?.({ left, longest });
  }
});
process.on('disconnect', () => process.exit());

const listening = (port: number) => process.send?.({ port });

if (kind === 'node:net') {
  const server = createServer((socket) => {
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => left++);
  });
  server.listen(where, () => listening((server.address() as { port: number }).port));
} else {
  const { backlog, ...at } = where;
  serve(at, (connection) => connection.pipe(lines(), map(encodeLine)), { concurrency: 50_000, backlog }).subscribe(
    (event) => {
      if (event.type === 'listening') listening(event.address.port as number);
      if (event.type === 'closed') left++;
    },
  );
}
