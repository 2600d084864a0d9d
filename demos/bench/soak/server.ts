/** The server of the soaks, in a process of its own: one handler for each mode. It answers the questions of its parent. */
import { setTimeout as pause } from 'node:timers/promises';
import { BehaviorSubject, merge, Subject } from 'rxjs';
import {
  type Broadcast,
  broadcast,
  type Connection,
  type DrainReport,
  exchange,
  type Handler,
  inPlace,
  lines,
  type ServeOptions,
  type ServerEvent,
  serve,
} from '../../../lib/index.ts';
import type { Answer, Certificate, Mode, Question } from './child.ts';

/** Bytes that the slow handler has processed, or that were published; or requests that the handler `replies` has begun. */
let handled = 0;
const closed: Record<string, number> = {};
const refused: Record<string, number> = {};
let faults = 0;
let certificates = 0;
let drained: DrainReport | undefined;
let room: Broadcast | undefined;
let publishing = false;
/** Start of the last publication, and the time from it to the first close of a connection, in milliseconds. */
let publishedAt = 0;
let closedAfter: number | undefined;
/** Minimum and maximum of the listeners of a socket, and of timers, while a handler writes. */
const counts = { listeners: [Number.POSITIVE_INFINITY, 0], timers: [Number.POSITIVE_INFINITY, 0], writes: 0 };

const KIB = 1024;

/** An endless reply of newly allocated pieces. */
function* endless(): Iterable<Buffer> {
  for (;;) yield Buffer.alloc(16 * KIB, 'x');
}

/** Takes a millisecond for each 64 KiB, regardless of the size of reads. */
async function slowly(bytes: number): Promise<undefined> {
  const before = Math.floor(handled / (64 * KIB));
  handled += bytes;
  const due = Math.floor(handled / (64 * KIB)) - before;
  if (due > 0) await pause(due);
}

const echo = exchange(lines(), (line) => (line === 'endless' ? endless() : `${line}\n`));

const member = (connection: Connection): ReturnType<Handler> =>
  merge(
    echo(connection),
    (room as Broadcast).to(connection, { overrun: mode === 'topic' ? 'drop-oldest' : 'disconnect' }),
  );

const handlers: Record<Mode, Handler> = {
  slow: exchange(
    (bytes) => bytes,
    (chunk) => slowly(chunk.length),
  ),
  'slow-in-place': exchange(
    inPlace((chunk) => chunk.length),
    slowly,
  ),
  echo,
  /** A number is answered with that many bytes, newly allocated. */
  large: exchange(lines({ maxLength: 64 * KIB * KIB }), (line) => Buffer.alloc(Number(line) || 1, 'x')),
  /** The request `7 2000` is answered after a while with 2000 bytes that begin with `7 `. */
  replies: exchange(
    lines(),
    async (line) => {
      handled++;
      const [number, size] = line.split(' ');
      await pause(Number(number) % 4);
      return `${`${number} `.padEnd(Number(size) - 1, 'x')}\n`;
    },
    { concurrency: 4 },
  ),
  starttls: exchange(lines(), async (line, connection) => {
    if (line !== 'STARTTLS') return `${line}\n`;
    void connection.write('go ahead\n');
    await connection.upgrade(certificate);
    return undefined;
  }),
  topic: member,
  published: member,
  writes: async (connection: Connection) => {
    const count = Number(options.writes);
    for (let i = 0; i < count; i++) {
      await connection.write(`${String(i).padStart(63, '.')}\n`);
      if (i % 1000 === 0) countHandles();
    }
    counts.writes = count;
  },
};

/** The armed timers. Tracked here, because the process reports only timers that keep it alive. */
const timers = new Set<unknown>();
const { setTimeout: arm, clearTimeout: disarm } = globalThis;
globalThis.setTimeout = Object.assign(
  (work: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = arm(() => {
      timers.delete(timer);
      work(...args);
    }, ms);
    timers.add(timer);
    return timer;
  },
  { __promisify__: arm.__promisify__ },
) as typeof setTimeout;
globalThis.clearTimeout = (timer) => {
  timers.delete(timer);
  disarm(timer);
};

/** Counts the listeners on the sockets of this process, and its timers. */
function countHandles(): void {
  const sockets = (process as unknown as { _getActiveHandles(): NodeJS.EventEmitter[] })
    ._getActiveHandles()
    .filter((handle) => 'remotePort' in handle);
  const listeners = sockets.map((socket) =>
    socket.eventNames().reduce((sum, name) => sum + socket.listenerCount(name), 0),
  );
  widen(counts.listeners, Math.max(0, ...listeners));
  widen(counts.timers, timers.size);
}

function widen(range: number[], value: number): void {
  range[0] = Math.min(range[0] ?? value, value);
  range[1] = Math.max(range[1] ?? value, value);
}

/** Publishes `count` messages at `rate` a millisecond, each with its number and the time of its publication. */
async function publish({ count, bytes, rate }: { count: number; bytes: number; rate: number }): Promise<void> {
  publishing = true;
  publishedAt = performance.now();
  const begun = publishedAt;
  for (let i = 0; i < count; ) {
    const due = Math.min(count, Math.ceil((performance.now() - begun) * rate));
    for (; i < due; i++) {
      const head = `${i} ${process.hrtime.bigint()} `;
      room?.next(`${head.padEnd(bytes - 1, 'x')}\n`);
      handled += bytes;
    }
    await pause(1);
  }
  publishing = false;
}

function answer(ask: Question['ask']): Answer {
  // Only on request, because a collection takes longer than many round trips.
  if (ask === 'heap') global.gc?.();
  return {
    handled,
    closed,
    refused,
    faults,
    certificates,
    ...(drained && { drained }),
    handles: process.getActiveResourcesInfo().filter((name) => !/^(Timeout|Immediate)$/.test(name)).length,
    publishing,
    ...(closedAfter !== undefined && { closedAfter }),
    members: room?.size ?? 0,
    heap: process.memoryUsage().heapUsed,
    ...counts,
  };
}

const [mode, json = '{}'] = process.argv.slice(2) as [Mode, string?];
const options = JSON.parse(json) as ServeOptions & { writes?: number; tls?: Certificate };
const { writes: _writes, tls: certificate, ...serving } = options;
const renewals = certificate && mode !== 'starttls' ? new BehaviorSubject(certificate) : undefined;
const shutdown = new Subject<void>();
if (mode === 'topic' || mode === 'published') room = broadcast();

process.on('message', (question: Question) => {
  if (question.ask === 'publish') void publish(question);
  else if (question.ask === 'renew') renewals?.next(question.tls);
  else if (question.ask === 'drain') shutdown.next();
  process.send?.({ id: question.id, ...answer(question.ask) });
});
process.on('disconnect', () => process.exit());

const count = (counts: Record<string, number>, reason: string) => {
  counts[reason] = (counts[reason] ?? 0) + 1;
};

serve({ port: 0, host: '127.0.0.1' }, handlers[mode], {
  concurrency: 20_000,
  // All clients have one address.
  perAddress: { connections: 20_000 },
  ...serving,
  tls: renewals,
  shutdown,
}).subscribe((event: ServerEvent) => {
  if (event.type === 'listening') process.send?.({ port: event.address.port });
  else if (event.type === 'closed') {
    closedAfter ??= performance.now() - publishedAt;
    count(closed, event.reason);
  } else if (event.type === 'refused') {
    count(refused, event.deadline === undefined ? event.reason : `${event.reason}: ${event.deadline}`);
  } else if (event.type === 'certificate') certificates++;
  else if (event.type === 'drained') drained = event;
  else if (event.type === 'failed') {
    if (event.id === undefined) faults++;
    else console.error(event.error);
  }
});
