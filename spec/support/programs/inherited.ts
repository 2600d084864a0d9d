// A server in a process of its own, on a socket that was handed over to it. It echoes lines, prints its events as lines of JSON,
// and ends on a signal. Its argument is JSON: the name of the socket, and the options of `serve`. It also prints what a child
// process of it has inherited: how many of the variables, and the target of its descriptor 3.
import { execFileSync } from 'node:child_process';
import { map } from 'rxjs';
import { encodeLine, inherited, lines, serve, signals } from '../../../lib/index.ts';

const { name, ...options } = JSON.parse(process.argv[2] ?? '{}');

serve(inherited(name), (connection) => connection.pipe(lines(), map(encodeLine)), {
  ...options,
  shutdown: signals(),
}).subscribe((event) => process.stdout.write(`${JSON.stringify(event)}\n`));

const look = 'env | grep -c ^LISTEN_; readlink /proc/$$/fd/3; true';
process.stdout.write(`a child process has variables: ${execFileSync('sh', ['-c', look], { encoding: 'utf8' })}`);
