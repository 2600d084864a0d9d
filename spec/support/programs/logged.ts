// A server with the library's default log. It echoes lines, and ends on SIGTERM.
// With a number as its argument it serves nothing, but writes that many lines of 200 bytes, and ends.
import { map } from 'rxjs';
import { boundedStdout, encodeLine, lines, logTo, serve, signals } from '../../../lib/index.ts';

const count = Number(process.argv[2] ?? 0);
for (let i = 0; i < count; i++) boundedStdout.write(`${String(i).padEnd(199, '.')}\n`);

if (count === 0) {
  serve({ port: 0, host: '127.0.0.1' }, (connection) => connection.pipe(lines(), map(encodeLine)), {
    shutdown: signals(),
  }).subscribe(logTo());
}
