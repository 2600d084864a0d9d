/** The servers of the soak `leave together`, each in a process of its own: ours, or node:net as in its manual. */
import { createServer } from 'node:net';
import { map } from 'rxjs';
import { encodeLine, lines, serve } from '../../../lib/index.ts';

const [kind] = process.argv.slice(2);
const where = { port: 0, host: '127.0.0.1', backlog: 4096 };

let left = 0;
let longest = 0;
let last = process.cpuUsage();
let measuring = false;

/** Measures the processor time of one event-loop iteration, in milliseconds; time in which the process is stopped is excluded. */
function measure(): void {
  const { user, system } = process.cpuUsage(last);
  last = process.cpuUsage();
  longest = Math.max(longest, (user + system) / 1000);
  if (measuring) setImmediate(measure);
}

process.on('message', (question: 'start' | 'report') => {
  if (question === 'start') {
    left = longest = 0;
    measuring = true;
    last = process.cpuUsage();
    setImmediate(measure);
    process.send?.({ measuring });
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
  serve(at, (connection) => connection.pipe(lines(), map(encodeLine)), {
    concurrency: 50_000,
    perAddress: { connections: 50_000 },
    backlog,
  }).subscribe((event) => {
    if (event.type === 'listening') listening(event.address.port as number);
    if (event.type === 'closed') left++;
  });
}
