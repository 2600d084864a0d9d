import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  catchError,
  EMPTY,
  filter,
  finalize,
  firstValueFrom,
  map,
  merge,
  mergeMap,
  NEVER,
  of,
  ReplaySubject,
  take,
  toArray,
} from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import type { Counters, ListenEvent } from '../../lib/events.ts';
import { listen } from '../../lib/listen/listen.ts';
import { quickest } from '../support/quickest.ts';
import { dialTo, openConnections, readAll } from '../support/sockets.ts';

/** The `closed` values of `count` connections, when that many are closed. */
const ends = (connections: ReplaySubject<Connection>, count: number) =>
  firstValueFrom(
    connections.pipe(
      mergeMap((connection) => connection.closed),
      take(count),
      toArray(),
    ),
  );

async function serving(
  handle: (connection: Connection) => void,
  ...more: [settings?: Parameters<typeof openConnections>[1], where?: Parameters<typeof openConnections>[2]]
) {
  const connections = new ReplaySubject<Connection>();
  const server = await openConnections(
    (connection) => {
      connections.next(connection);
      handle(connection);
    },
    ...more,
  );
  return { ...server, ends: (count: number) => ends(connections, count), first: () => firstValueFrom(connections) };
}

/** Both ways to read: into the buffer that all sockets share, or into memory that is allocated for each read. */
const eachTransport = describe.each(['handle', 'net']);

const servedBy = (transport: string) => {
  beforeEach(() => {
    vi.stubEnv('SLUICE_TRANSPORT', transport);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });
};

eachTransport('a connection on a real socket (transport: %s)', (transport) => {
  servedBy(transport);

  it('echoes all bytes in order, however they are split into writes', async () => {
    const server = await serving((connection) => connection.pipe(connection.send()).subscribe());
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 }), { maxLength: 20 }),
        async (chunks) => {
          const client = server.connect();
          const reply = readAll(client);
          for (const chunk of chunks) if (!client.write(chunk)) await once(client, 'drain');
          client.end();
          expect(await reply).toEqual(Buffer.concat(chunks));
        },
      ),
      { numRuns: 20 },
    );
    server.port.close();
  });

  // A close with unread bytes sends a RST, which can destroy the last reply on its way: nodejs/node#36180, akka/akka#16899.
  it('delivers the last reply to each of 200 peers that continue to send, and resets none', async () => {
    const server = await serving(
      (connection) => {
        connection
          .pipe(
            take(1),
            map(() => 'ERR go away\n'),
            connection.send(),
          )
          .subscribe();
      },
      // Long enough for 200 clients in one event loop to receive the FIN, however busy the machine is.
      { linger: 10_000 },
    );
    const closed = server.ends(200);
    const replies = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const client = server.connect();
        const reset: string[] = [];
        client.on('error', (error: NodeJS.ErrnoException) => reset.push(String(error.code)));
        const block = Buffer.alloc(4 * 1024, 'x');
        let over = false;
        const more = () => {
          if (!over) client.write(block, () => setImmediate(more));
        };
        more();
        const reply = (await readAll(client)).toString();
        over = true;
        client.end();
        return [reply, ...reset].join(' ');
      }),
    );
    expect(replies).toEqual(Array.from({ length: 200 }, () => 'ERR go away\n'));
    expect(new Set((await closed).map(({ reason }) => reason))).toEqual(new Set(['completed']));
    server.port.close();
  });

  it('unsubscribes from the handler within 50 ms of a reset', async () => {
    const unsubscribed = async () => {
      const unsubscribedAt = new ReplaySubject<number>(1);
      const server = await serving((connection) => {
        const replies = merge(of('welcome'), connection, NEVER).pipe(
          finalize(() => unsubscribedAt.next(performance.now())),
        );
        replies.pipe(connection.send()).subscribe();
      });
      const client = server.connect();
      await once(client, 'data');
      const resetAt = performance.now();
      client.resetAndDestroy();
      const at = await firstValueFrom(unsubscribedAt);
      expect(await server.ends(1)).toMatchObject([{ reason: 'reset', bytesOut: 7, unsent: 0 }]);
      server.port.close();
      return at - resetAt;
    };
    expect(await quickest(50, unsubscribed)).toBeLessThan(50);
  });

  // Otherwise writes to a peer that does not read are queued without bound: nodejs/node#51507, nestjs/nest#17746.
  it('resets a peer that never reads at the stall deadline, with figures that add up', async () => {
    const BYTES = 32 * 1024 * 1024;
    const server = await serving(
      (connection) =>
        merge(of(Buffer.alloc(BYTES)), connection)
          .pipe(connection.send())
          .subscribe(),
      { stall: 150 },
    );
    const client = server.connect().pause();
    const [end] = await server.ends(1);
    expect(end).toMatchObject({ reason: 'slow-consumer', deadline: 'stall' });
    expect(end?.unsent).toBeGreaterThan(0);
    expect((end?.bytesOut ?? 0) + (end?.unsent ?? 0)).toBe(BYTES);
    client.destroy();
    server.port.close();
  });

  it.each<[string, (connection: Connection) => void]>([
    ['abort', (connection) => connection.abort()],
    [
      'end, then abort',
      (connection) => {
        connection.end();
        connection.abort();
      },
    ],
    ['end', (connection) => connection.end()],
  ])('closes once on a unix socket after %s', async (_how, stop) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const server = await serving(
      (connection) => merge(of('x'), connection).pipe(connection.send()).subscribe(),
      {},
      { path: join(folder, 's') },
    );
    const client = server.connect();
    await once(client, 'data');
    client.on('end', () => client.end());
    stop(await server.first());
    expect((await server.ends(1)).length).toBe(1);
    client.destroy();
    server.port.close();
    await rm(folder, { recursive: true });
  });

  it('closes once when it is ended and aborted in its accept callback', async () => {
    const server = await serving((connection) => {
      merge(of('x'), connection).pipe(connection.send()).subscribe();
      connection.end();
      connection.abort();
    });
    server.connect().resume();
    expect((await server.ends(1)).length).toBe(1);
    server.port.close();
  });
});

eachTransport('resets at every phase (transport: %s)', (transport) => {
  servedBy(transport);

  const phases: Record<string, (client: Socket) => Promise<void> | void> = {
    'before the first read': (client) => void client.resetAndDestroy(),
    'in the middle of a request': (client) => void client.write('half a requ', () => client.resetAndDestroy()),
    'in the middle of a reply': async (client) => {
      client.write('large');
      await once(client, 'readable');
      client.resetAndDestroy();
    },
    'while the server lingers': async (client) => {
      client.write('quit');
      client.resume();
      await once(client, 'end');
      client.resetAndDestroy();
    },
  };

  it.each(Object.entries(phases))('leave no counted connection, socket or timer: %s', async (_phase, reset) => {
    const COUNT = 20;
    const resources = () => process.getActiveResourcesInfo().filter((kind) => /TCP|Timeout/.test(kind)).length;
    const before = resources();
    const events = new ReplaySubject<ListenEvent>();
    const server = listen({ port: 0, host: '127.0.0.1' }, { events }).pipe(
      mergeMap((connection) =>
        connection.pipe(
          mergeMap((chunk) => {
            const request = Buffer.from(chunk).toString();
            return request === 'large'
              ? of(Buffer.alloc(8 * 1024 * 1024))
              : request === 'quit'
                ? (connection.end() ?? EMPTY)
                : EMPTY;
          }),
          connection.send(),
          catchError(() => EMPTY),
        ),
      ),
    );
    const subscription = server.subscribe();
    const listening = await firstValueFrom(events.pipe(filter((event) => event.type === 'listening')));
    const { port } = listening.address;
    const closes = firstValueFrom(
      events.pipe(
        filter(({ type }) => type === 'closed' || type === 'refused'),
        take(COUNT),
        toArray(),
      ),
    );
    await Promise.all(
      Array.from({ length: COUNT }, async () => {
        const client = dialTo(port as number);
        await once(client, 'connect');
        await reset(client);
      }),
    );
    await closes;
    const { accepted, waiting, active, closed, refused }: Counters = listening.counters;
    expect({ accepted, waiting, active, sum: closed + refused }).toEqual({
      accepted: COUNT,
      waiting: 0,
      active: 0,
      sum: COUNT,
    });
    subscription.unsubscribe();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(resources()).toBeLessThanOrEqual(before);
  });
});
