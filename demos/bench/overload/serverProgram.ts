/** The server of a row, in a process of its own. It answers the questions of its parent. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { BehaviorSubject, map, mergeMap, Subject, take } from 'rxjs';
import {
  type DrainReport,
  type Handler,
  type ListeningEvent,
  lines,
  nodeTransport,
  type ServerEvent,
  serve,
  type Transport,
} from '../../../lib/index.ts';
import { decode } from './program.ts';
import type { Ready, ServerAnswer, ServerJob, ServerQuestion } from './server.ts';
import { Stalls } from './stalls.ts';
import { recordWaits } from './waits.ts';

const {
  options = {},
  work = 0,
  more = 0,
  isOnce = false,
  isBlind,
  recordsWaits,
  hasMetrics,
  ...job
} = decode<ServerJob>(process.argv[2]);

const stalls = new Stalls();
const waits = recordsWaits ? recordWaits() : [];
const events: Record<string, number> = {};
let listening: ListeningEvent | undefined;
let most = 0;
let beyond = 0;
let pauses = 0;
let drained: DrainReport | undefined;
const shutdown = new Subject<void>();
let limit = job.concurrency ?? Number.POSITIVE_INFINITY;
const concurrency = job.concurrency === undefined ? undefined : new BehaviorSubject(job.concurrency);

const handler: Handler = (requests) => {
  const replies = requests.pipe(
    lines(),
    work === 0
      ? map((line) => `${line}\n`)
      : mergeMap(async (line) => {
          await pause(work + more * Math.random());
          return `${line}\n`;
        }),
  );
  return isOnce ? replies.pipe(take(1)) : replies;
};

/** The transport of Node, which counts the pauses of the port. */
const transport: Transport = {
  ...nodeTransport,
  listen(where, how, to) {
    if (isBlind) {
      const { accepted } = to;
      to.accepted = (socket) => {
        Object.defineProperty(socket, 'descriptor', { value: undefined });
        accepted.call(to, socket);
      };
    }
    const port = nodeTransport.listen(where, how, to);
    let isPaused = false;
    return {
      ...port,
      pause() {
        const was = isPaused;
        isPaused = port.pause?.() === true;
        if (isPaused && !was) pauses++;
        return isPaused;
      },
      resume() {
        isPaused = false;
        port.resume?.();
      },
    };
  },
};

function answer(): ServerAnswer {
  const { accepted = 0, active = 0, waiting = 0, refused = 0 } = listening?.counters ?? {};
  const refusals = Object.fromEntries(listening?.refusals ?? []);
  // `process.memoryUsage` opens a file, which fails when the process has no descriptor left.
  const { used_heap_size: heap } = getHeapStatistics();
  const delay = stalls.take();
  return {
    accepted,
    active,
    waiting,
    refused,
    refusals,
    events,
    most,
    beyond,
    pauses,
    heap,
    delay,
    waits,
    ...(drained && { drained }),
  };
}

process.on('message', (question: ServerQuestion & { id: number }) => {
  // Only on request, because a collection takes longer than many replies.
  if (question.ask === 'heap') global.gc?.();
  if (question.ask === 'limit') {
    limit = question.value;
    concurrency?.next(limit);
  }
  const rehearsal = question.ask === 'rehearse' && listening?.connections.rehearse();
  if (question.ask === 'drain') shutdown.next();
  process.send?.({ id: question.id, ...answer(), ...(rehearsal && { rehearsal }) });
});
process.on('disconnect', () => process.exit());

/** Metrics as a scraper asks for them: a connection and a file each time. */
async function serveMetrics(): Promise<number> {
  const server = createServer((_, response) => {
    readFile('/proc/self/status').then(
      (status) => response.setHeader('connection', 'close').end(status),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const metrics = hasMetrics ? await serveMetrics() : undefined;

serve({ port: 0, host: '127.0.0.1' }, handler, {
  ...options,
  ...(concurrency && { concurrency }),
  shutdown,
  transport,
}).subscribe((event: ServerEvent) => {
  if (event.type === 'opened') {
    const active = listening?.counters.active ?? 0;
    most = Math.max(most, active);
    if (active > limit) beyond++;
  } else if (event.type !== 'closed' && event.type !== 'refused') {
    events[event.type] = (events[event.type] ?? 0) + 1;
  }
  if (event.type === 'drained') drained = event;
  if (event.type !== 'listening') return;
  listening = event;
  process.send?.({ port: event.address.port as number, metrics } satisfies Ready);
});
