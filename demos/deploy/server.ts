/**
 * A server to deploy: it answers each line in upper case. In a container it opens its port itself; under systemd it takes over the
 * one that the socket unit has opened. Copy it, and put your own handler in the place of `shout`.
 *
 *     npx tsx demos/deploy/server.ts                       port 7000
 *     printf 'hello\n' | nc -q1 127.0.0.1 7000             HELLO
 *     curl -i localhost:7001/readyz                        200, and 503 from the first SIGTERM on (with ADMIN_PORT=7001)
 *
 * It is set up by its environment, as a Deployment and a unit can do it: `PORT`; `ANNOUNCE` and `GRACE`, in milliseconds;
 * `ADMIN_PORT` for the probes, and `ADMIN_HOST`. The README beside it has the Dockerfile, the Deployment and the units.
 */
import { share } from 'rxjs';
import { encodeLine, exchange, inherited, lines, logTo, serve, signals } from '../../lib/index.ts';
import { notifySystemd } from './notifySystemd.ts';
import { probes } from './probes.ts';

const { LISTEN_FDS, PORT = 7000, ANNOUNCE = 0, GRACE = 10_000, ADMIN_PORT, ADMIN_HOST = '127.0.0.1' } = process.env;
const announce = Number(ANNOUNCE);
const grace = Number(GRACE);

const shout = exchange(lines(), async (line) => encodeLine(line.toUpperCase()));

const where = LISTEN_FDS === undefined ? { port: Number(PORT) } : inherited('main');
const events = serve(where, shout, { shutdown: signals(), announce, grace }).pipe(share());

const log = logTo();
if (ADMIN_PORT !== undefined) {
  probes(events, { port: Number(ADMIN_PORT), host: ADMIN_HOST }).subscribe({ error: fail });
}
events.subscribe(notifySystemd({ stopWithin: announce + grace + 2000 }));
events.subscribe({ next: log.next, error: fail });

function fail(error: unknown): void {
  log.error(error);
  // The supervisor starts it again.
  process.exitCode = 1;
}
