// A server in a process of its own. It echoes lines, prints its events as lines of JSON, and ends on a signal.
// Its argument is JSON: where to listen, and the options of `serve`.
import { map } from 'rxjs';
import { encodeLine, lines, serve, signals } from '../../../lib/index.ts';

const { where = { port: 0, host: '127.0.0.1' }, ...options } = JSON.parse(process.argv[2] ?? '{}');

serve(where, (connection) => connection.pipe(lines(), map(encodeLine)), { ...options, shutdown: signals() }).subscribe(
  (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
);
