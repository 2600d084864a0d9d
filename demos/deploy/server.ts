/**
 * A server to deploy: it answers each line in upper case. In a container it opens its port itself; under systemd it takes over the
 * one that the socket unit has opened. Copy it, and put your own handler in the place of `shout`.
 *
 *     ADMIN_PORT=7001 npx tsx demos/deploy/server.ts       port 7000, and the admin port
 *     printf 'hello\n' | nc -q1 127.0.0.1 7000             HELLO
 *     curl -i localhost:7001/readyz                        200, and 503 from the first SIGTERM on
 *
 * It is set up by its environment, as a Deployment and a unit can do it: `PORT`; `ANNOUNCE` and `GRACE`, in milliseconds;
 * `ADMIN_PORT` for the probes, the metrics and the live page, `ADMIN_HOST`, and `ADMIN_TOKEN`, without which nobody knows the token of the page.
 * The README beside it has the Dockerfile, the Deployment and the units.
 */
import { Registry } from 'prom-client';
import { share } from 'rxjs';
import { type AdminEvent, admin } from '../../lib/admin/index.ts';
import { boundedStdout, encodeLine, exchange, inherited, lines, logTo, serve, signals } from '../../lib/index.ts';
import { metrics } from '../../lib/prometheus/index.ts';
import { notifySystemd } from './notifySystemd.ts';

const { PORT = 7000, ANNOUNCE = 0, GRACE = 10_000 } = process.env;
const { ADMIN_PORT, ADMIN_HOST = '127.0.0.1', ADMIN_TOKEN } = process.env;
const announce = Number(ANNOUNCE);
const grace = Number(GRACE);

const shout = exchange(lines(), async (line) => encodeLine(line.toUpperCase()));

// The socket of a socket unit, or a port of its own where there is none.
const where = inherited('main', { port: Number(PORT) });
const events = serve(where, shout, { shutdown: signals(), announce, grace }).pipe(share());

const log = logTo();
if (ADMIN_PORT !== undefined) {
  const registry = new Registry();
  metrics(events, { registry });
  admin(events, { port: Number(ADMIN_PORT), host: ADMIN_HOST, token: ADMIN_TOKEN, metrics: registry }).subscribe({
    next: logAction,
    error: fail,
  });
}
events.subscribe(notifySystemd({ stopWithin: announce + grace + 2000 }));
events.subscribe({ next: log.next, error: fail });

/** What an operator does at the admin port is logged. The token is not: the event `listening` has it. */
function logAction(event: AdminEvent): void {
  if (event.type !== 'action') return;
  const line = { level: 40, time: Date.now(), ...event, type: 'admin', msg: `admin: ${event.action}` };
  boundedStdout.write(`${JSON.stringify(line)}\n`);
}

function fail(error: unknown): void {
  log.error(error);
  // The supervisor starts it again.
  process.exitCode = 1;
}
