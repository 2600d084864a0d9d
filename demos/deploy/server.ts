/**
 * A server to deploy: it answers each line in upper case. In a container it opens its port itself; under systemd it takes over the
 * one that the socket unit has opened. Copy it, and put your own handler in the place of `shout`.
 *
 *     ADMIN_PORT=7001 npx tsx demos/deploy/server.ts       port 7000, and the admin port
 *     printf 'hello\n' | nc -q1 127.0.0.1 7000             HELLO
 *     curl -i localhost:7001/readyz                        200, and 503 from the first SIGTERM on
 *
 * It is set up by its environment, as a Deployment and a unit can do it: `PORT`; `ANNOUNCE` and `GRACE`, in milliseconds;
 * `ADMIN_PORT` for the probes, the metrics and the live page, `ADMIN_HOST`, and `ADMIN_TOKEN`, without which the page
 * cannot be used. A variable that is empty is as if it were not set. On the page the limits can be moved, and the drain begun.
 * The README beside it has the Dockerfile, the Deployment and the units.
 */
import { Registry } from 'prom-client';
import { BehaviorSubject, merge, Subject, share, skip, take } from 'rxjs';
import { admin } from '../../lib/admin/index.ts';
import {
  boundedStdout,
  encodeLine,
  exchange,
  inherited,
  lines,
  logTo,
  type PerAddressLimit,
  serve,
  signals,
} from '../../lib/index.ts';
import { metrics } from '../../lib/prometheus/index.ts';
import { notifySystemd } from './notifySystemd.ts';

const announce = numberOf('ANNOUNCE') ?? 0;
const grace = numberOf('GRACE') ?? 10_000;
const adminPort = numberOf('ADMIN_PORT');
const { ADMIN_HOST: host = '127.0.0.1', ADMIN_TOKEN: token } = process.env;

const shout = exchange(lines(), async (line) => encodeLine(line.toUpperCase()));

// An operator can move these while the server runs.
const concurrency = new BehaviorSubject(1000);
const max = new BehaviorSubject(1000);
const connections = new BehaviorSubject<PerAddressLimit>('share');
const stop = new Subject<void>();
// A drain that the page has begun is not cut short by the SIGTERM of a supervisor, but by the one after it.
const shutdown = merge(merge(stop, signals()).pipe(take(1)), signals().pipe(skip(1)));

// The socket of a socket unit, or a port of its own where there is none.
const where = inherited('main', { port: numberOf('PORT') ?? 7000 });
const options = { concurrency, waiting: { max }, perAddress: { connections }, shutdown, announce, grace };
const events = serve(where, shout, options).pipe(share());

const log = logTo();
if (adminPort !== undefined) {
  const registry = new Registry();
  metrics(events, { registry });
  const limits = { concurrency, 'waiting.max': max, 'perAddress.connections': connections };
  const drain = () => stop.next();
  admin(events, {
    port: adminPort,
    host: host || '127.0.0.1',
    token: token || undefined,
    metrics: registry,
    limits,
    drain,
  }).subscribe({
    // What an operator does is logged. The token is not: the event `listening` has it.
    next: (event) => event.type === 'action' && logAdmin(40, event, event.action),
    error: (error) => {
      logAdmin(50, {}, `the port cannot be opened, so the server drains and ends: ${error.message}`);
      end();
    },
  });
}
events.subscribe(notifySystemd({ stopWithin: announce + grace + 2000 }));
events.subscribe({
  next: log.next,
  error: (error) => {
    log.error(error);
    end();
  },
});

/** The number in a variable of the environment; `undefined` if it is not set or empty. */
function numberOf(name: string): number | undefined {
  const { [name]: text = '' } = process.env;
  return text === '' ? undefined : Number(text);
}

function logAdmin(level: number, fields: object, sentence: string): void {
  const line = { level, time: Date.now(), ...fields, type: 'admin', msg: `admin: ${sentence}` };
  boundedStdout.write(`${JSON.stringify(line)}\n`);
}

/** Without its port, or without its probes, the server is of no use. The supervisor starts it again. */
function end(): void {
  process.exitCode = 1;
  stop.next();
}
