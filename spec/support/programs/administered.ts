// A server in a process of its own, with an admin port. It echoes lines, prints its events as lines of JSON, and that of the admin
// port as one of the type `admin`. Its argument is JSON: the options of `serve`.
import { map, share } from 'rxjs';
import { admin } from '../../../lib/admin/index.ts';
import { encodeLine, lines, serve, signals } from '../../../lib/index.ts';

const print = (event: object) => process.stdout.write(`${JSON.stringify(event)}\n`);
const options = { ...JSON.parse(process.argv[2] ?? '{}'), shutdown: signals() };
const echo = serve({ port: 0, host: '127.0.0.1' }, (one) => one.pipe(lines(), map(encodeLine)), options).pipe(share());

admin(echo, { port: 0 }).subscribe((event) => print({ ...event, type: 'admin', event: event.type }));
echo.subscribe(print);
