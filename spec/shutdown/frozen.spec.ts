import { connect, type Socket } from 'node:net';
import { lastValueFrom, map, type Observable, Subject, tap } from 'rxjs';
import { afterEach, expect, it } from 'vitest';
import { exchange, type Handler, lines, type ServerEvent, serve } from '../../lib/index.ts';
import { iteration } from '../support/clock.ts';

const GRACE = 500;
const CLIENTS = 50;

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Blocks the event loop, which has the same effect as a SIGSTOP. */
function freeze(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const handlers: [string, Handler][] = [
  [
    'at once',
    (connection) =>
      connection.pipe(
        lines(),
        map((line) => `${line}\n`),
      ),
  ],
  [
    'after a few iterations of the event loop',
    exchange(lines(), async (line) => {
      for (let left = 5; left > 0; left--) await iteration();
      return `${line}\n`;
    }),
  ],
];

it.each(handlers)(
  'requests that arrive while the process is frozen in the grace of a drain are answered %s',
  async (_when, handler) => {
    const shutdown = new Subject<void>();
    const begun = new Subject<void>();
    let waiting = CLIENTS;
    const replies: string[] = [];
    const start = (port: number) => {
      for (let left = CLIENTS; left > 0; left--) {
        const socket = connect(port, '127.0.0.1', () => socket.write('first\nhalf of'));
        sockets.push(socket);
        let text = '';
        socket.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
          if (text === 'first\n' && --waiting === 0) begun.next();
        });
        socket.on('error', (error) => replies.push(error.message));
        socket.on('end', () => replies.push(text));
      }
    };
    let isFrozen = false;
    const watched: Handler = (connection) => {
      // The grace has begun. The requests reach the kernel at once, and are not read before the freeze is over.
      connection.draining.subscribe(() => {
        if (isFrozen) return;
        isFrozen = true;
        queueMicrotask(() => {
          for (const socket of sockets) socket.write(' a line\n');
          freeze(2 * GRACE);
        });
      });
      return handler(connection);
    };
    begun.subscribe(() => shutdown.next());
    const events = serve({ port: 0, host: '127.0.0.1' }, watched, {
      shutdown,
      grace: GRACE,
      linger: 5000,
    }) as Observable<ServerEvent>;
    const report = await lastValueFrom(
      events.pipe(tap((event) => event.type === 'listening' && start(event.address.port as number))),
    );
    expect(report).toMatchObject({ type: 'drained', drained: CLIENTS, aborted: 0 });
    expect(replies).toEqual(Array(CLIENTS).fill('first\nhalf of a line\n'));
  },
);
