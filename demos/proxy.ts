/**
 * A load balancer for any TCP protocol.
 *
 *     node --import tsx demos/proxy.ts --port 6380 --backend 127.0.0.1:7001 --backend 127.0.0.1:7002
 *     redis-cli -p 6380 ping                      is answered by one of two Redis servers
 *     … --check-ask 'PING\r\n' --check-expect +PONG      a healthy backend must answer, not only accept
 *     … --proxy-protocol                          sends each backend the client's address (PROXY protocol, version 2)
 *     … --help                                    lists every limit
 *
 * Each client gets the backend with the fewest connections; if that one cannot be reached, the next is tried. Backpressure
 * passes through: while one side does not read, the other side is not read. Half-open connections stay half-open. A backend
 * that fails three checks gets no new clients until it answers again; its present clients stay connected to it. A side that
 * does not read has as long a deadline as a silent one (`--stall`, `--idle`), because it occupies a slot but no memory.
 *
 * After SIGINT or SIGTERM it accepts no more connections, and each client is closed in the next pause of its conversation.
 */
import { merge, mergeMap, type Observable, Subject, takeUntil } from 'rxjs';
import { encodeProxyHeader, type Handler, logTo, relay, serve, signals } from '../lib/index.ts';
import { Backend } from './proxy/backend.ts';
import { Balancer } from './proxy/balancer.ts';
import { watchHealth } from './proxy/health.ts';
import { type ProxyOptions, proxyOptions } from './proxy/options.ts';
import { backendLines } from './proxy/status.ts';
import {
  address,
  administered,
  logger,
  movable,
  type PortOptions,
  portOptions,
  portSettings,
  program,
  reason,
  shown,
  statusLine,
  Traffic,
} from './support/index.ts';

const command = portOptions(
  proxyOptions(program('proxy', 'A load balancer for any TCP protocol.', { port: 7000 })),
).parse();
const {
  host,
  port,
  backend: where = [],
  proxyProtocol = false,
  ...options
} = command.opts<PortOptions & ProxyOptions>();
if (where.length === 0) command.error('there must be a --backend');

const status = statusLine();
const log = logger({ status, fields: false });
const reporting = { fail: (sentence: string) => command.error(sentence), log };
const settings = await portSettings(options, [host], reporting);

const { maxPerBackend: max, connectTimeout: timeout, fall, rise, pause, concurrency, idle, stall, grace } = options;
const backends = where.map(({ host, port }) => new Backend(host, port, { max, timeout, stall, fall, rise }));
const balancer = new Balancer(backends, options.wait);
for (const backend of backends) {
  backend.changed = (why) => {
    const { name, up } = backend;
    if (up) log.info({ type: 'backend', backend: name, up }, `backend ${name} is up`);
    else log.warn({ type: 'backend', backend: name, up }, `backend ${name} is down: ${reason(why)}`);
    balancer.changed();
  };
}

const forward: Handler = (client): Observable<never> =>
  balancer.connect().pipe(
    mergeMap((backend) => {
      if (proxyProtocol) {
        // Behind another proxy the client connected to that one.
        const destination = client.via?.header.destination ?? client.local;
        void backend.write(encodeProxyHeader({ source: client.peer, destination }));
      }
      return relay(client, backend, { pause });
    }),
  );

const shutdown = signals();
// Subscribed until the process exits: a late Ctrl-C must not kill it before it prints the report.
shutdown.subscribe();

const { checkInterval: interval, checkTimeout, checkAsk: ask, checkExpect: expect } = options;
const health = { interval, timeout: checkTimeout, proxyProtocol, ...(ask && { ask }), ...(expect && { expect }) };
const over = new Subject<void>();
merge(...backends.map((backend) => watchHealth(backend, health)))
  .pipe(takeUntil(over))
  .subscribe();

// No greeting deadline: in some protocols the server sends first, and some clients connect long before they send.
const greeting = Number.POSITIVE_INFINITY;
const serving = movable(options.admin, { concurrency, idle, stall, grace, greeting, shutdown, ...settings });
serve({ host, port }, forward, serving)
  .pipe(
    administered(options.admin, serving, reporting),
    shown(new Traffic(), status, false, { requests: false, lines: () => backendLines(backends) }),
  )
  .subscribe({
    ...logTo(log),
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
    complete: () => over.next(),
  });
