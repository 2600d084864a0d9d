import { AsyncLocalStorage } from 'node:async_hooks';
import { connect, type Socket } from 'node:net';
import {
  catchError,
  concat,
  defer,
  EMPTY,
  finalize,
  map,
  merge,
  mergeMap,
  Observable,
  of,
  Subject,
  type Subscription,
  tap,
} from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  broadcast,
  type Connection,
  type Data,
  exchange,
  type Handler,
  idle,
  lines,
  listen,
  serve,
} from '../../lib/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import type { Transport } from '../../lib/transport/transport.ts';

const MANY = 1500;
const PLACES = 4;
const LIMITS = {
  highWaterMark: 2000,
  maxOutbound: 1_000_000,
  budget: 150_000,
  concurrency: PLACES,
  linger: 200,
  waiting: { timeout: 60_000 },
};

const store = new AsyncLocalStorage<number>();
/** Callbacks that ran in another connection's context, as `what: store for connection`. */
const strays = new Set<string>();
/** What was looked at, so that none of it is left out. */
const looked = new Set<string>();

/** Looks at the context of a callback of this connection: it is its own or none. */
function look({ id }: Connection, what: string): void {
  looked.add(what);
  const found = store.getStore();
  if (found !== undefined && found !== id) strays.add(`${what}: ${found} for ${id}`);
}

/** Some ways to serve, each of which looks wherever its code is called. */
const ways: ((connection: Connection) => Observable<Data>)[] = [
  (connection) =>
    defer(async () => {
      for (let left = MANY; left > 0; left--) {
        await connection.write('0123456789');
        look(connection, 'behind a promise of room');
      }
      return 'end';
    }),
  exchange(lines(), function* (_line, connection) {
    for (let left = 10; left > 0; left--) {
      look(connection, 'in a generator');
      yield '0123456789';
    }
  }),
  exchange(lines(), async function* (_line, connection) {
    for (let left = 10; left > 0; left--) {
      look(connection, 'in an async generator');
      yield '0123456789';
    }
  }),
  exchange(lines(), async (line, connection) => {
    look(connection, 'with a frame');
    return line.repeat(50);
  }),
  (connection) =>
    connection.pipe(
      lines(),
      map((line) => {
        look(connection, 'in an operator');
        return line.repeat(50);
      }),
    ),
  (connection) =>
    defer(async () => {
      for await (const line of connection.pipe(lines())) {
        look(connection, 'in a loop over frames');
        void connection.write(line.repeat(50));
      }
      return '';
    }),
];

const during = (work: () => void) =>
  defer(() => {
    work();
    return EMPTY;
  });

const endings: ((connection: Connection) => Observable<never>)[] = [
  () => EMPTY,
  (connection) => during(() => store.run(connection.id, () => connection.abort())),
  (connection) => during(() => store.run(connection.id, () => connection.end())),
  () =>
    defer(() => {
      throw new Error('on purpose');
    }),
];

function watched(connection: Connection, enter: boolean): Observable<Data> {
  const { id } = connection;
  look(connection, 'at the start');
  if (enter) store.enterWith(id);
  connection.draining.subscribe(() => look(connection, 'when it is to drain'));
  connection.closed.subscribe(() => look(connection, 'when it has closed'));
  const way = ways[id % ways.length] as (typeof ways)[number];
  const ending = endings[Math.floor(id / ways.length) % endings.length] as (typeof endings)[number];
  return store
    .run(id, () => concat(way(connection), ending(connection)))
    .pipe(
      (source) => new Observable<Data>((to) => store.run(id, () => source.subscribe(to))),
      tap({ error: () => look(connection, 'on an error'), complete: () => look(connection, 'on the completion') }),
      finalize(() => look(connection, 'in a teardown')),
    );
}

const sockets: { destroy(): unknown }[] = [];
const subscriptions: Subscription[] = [];
afterEach(() => {
  for (const one of subscriptions.splice(0)) one.unsubscribe();
  for (const one of sockets.splice(0)) one.destroy();
});
beforeEach(() => {
  strays.clear();
  looked.clear();
});

const until = (done: () => boolean) => vi.waitUntil(done, { timeout: 55_000, interval: 1 });

interface Clients {
  readonly transport?: Transport;
  /** Connects one that sends many lines and its FIN, and reads after a while. */
  dial(port: number): { over(): boolean };
}

const real = (): Clients => ({
  dial(port) {
    const socket: Socket = connect({ port, allowHalfOpen: true }).on('error', () => {});
    sockets.push(socket);
    let closed = false;
    socket.on('close', () => {
      closed = true;
    });
    socket.on('end', () => socket.end());
    socket.pause();
    socket.write('a line\n'.repeat(MANY));
    socket.end();
    setTimeout(() => socket.resume(), 20);
    return { over: () => closed };
  },
});

const inMemory = (): Clients => {
  const network = new MemoryNetwork();
  return {
    transport: network.transport,
    dial() {
      const client = network.connect({ window: 10_000 }).pause();
      client.write('a line\n'.repeat(MANY)).end();
      setTimeout(() => client.resume(), 20);
      return { over: () => client.over };
    },
  };
};

describe.each([
  ['sockets', real],
  ['memory', inMemory],
])('on %s', (_kind, make) => {
  it.each([
    ['runs', false],
    ['enters', true],
  ])('no callback of a connection runs in a context that another one %s', async (_how, enter) => {
    const { transport, dial } = make();
    const seam = transport === undefined ? {} : { transport };
    let port: number | undefined;
    let closed = 0;
    let draining = false;
    const shutdown = new Subject<void>();
    const handler: Handler = (connection) => watched(connection, enter);
    const server = serve({ port: 0, host: '127.0.0.1' }, handler, { ...LIMITS, ...seam, shutdown, grace: 100 });
    subscriptions.push(
      server.subscribe({
        next: (event) => {
          if (event.type === 'listening') port = event.address.port;
          if (event.type === 'closed' || event.type === 'refused') closed++;
        },
        complete: () => {
          draining = true;
        },
      }),
    );
    await until(() => port !== undefined);
    const all = Array.from({ length: ways.length * endings.length }, () => dial(port as number));
    await until(() => closed === all.length && all.every((one) => one.over()));
    // And a few that are asked to finish by another one's code.
    for (let left = 2 * PLACES; left > 0; left--) dial(port as number);
    await until(() => closed > all.length);
    store.run(-1, () => shutdown.next());
    await until(() => draining);
    expect([...strays]).toEqual([]);
    expect([...looked].sort()).toEqual([
      'at the start',
      'behind a promise of room',
      'in a generator',
      'in a loop over frames',
      'in a teardown',
      'in an async generator',
      'in an operator',
      'on an error',
      'on the completion',
      'when it has closed',
      'when it is to drain',
      'with a frame',
    ]);
  });

  it('a place that is freed by one does not begin the next in its context, behind `listen` alone', async () => {
    const { transport, dial } = make();
    const seam = transport === undefined ? {} : { transport };
    let port: number | undefined;
    let closed = 0;
    const events = new Subject<{ type: string; address?: { port: number | undefined } }>();
    events.subscribe((event) => {
      if (event.type === 'listening') port = event.address?.port;
      if (event.type === 'closed') closed++;
    });
    subscriptions.push(
      listen(
        { port: 0, host: '127.0.0.1' },
        { ...seam, events: events as never, linger: 200, waiting: { timeout: 60_000 } },
      )
        .pipe(
          mergeMap((connection) => {
            look(connection, 'at the start');
            return watched(connection, false).pipe(
              connection.send(),
              catchError(() => EMPTY),
            );
          }, PLACES),
        )
        .subscribe(),
    );
    await until(() => port !== undefined);
    const all = Array.from({ length: ways.length * endings.length }, () => dial(port as number));
    await until(() => closed === all.length && all.every((one) => one.over()));
    expect([...strays]).toEqual([]);
  });

  it('what a member of a broadcast does runs in no context of the publisher, but for the value itself', async () => {
    const { transport, dial } = make();
    const seam = transport === undefined ? {} : { transport };
    const room = broadcast();
    let port: number | undefined;
    let members = 0;
    const handler: Handler = (connection) => {
      members++;
      const left = finalize<Data>(() => look(connection, 'in a teardown'));
      const asked = exchange(lines(), (line, member) => {
        look(member, 'with a frame');
        return line;
      })(connection);
      return new Observable<Data>((to) => {
        const joined = room.to(connection, { maxOutbound: 50_000, overrun: 'disconnect' });
        to.add(merge(joined.pipe(left), asked).subscribe(to));
      });
    };
    subscriptions.push(
      serve({ port: 0, host: '127.0.0.1' }, handler, { ...LIMITS, ...seam, concurrency: 100 }).subscribe((event) => {
        if (event.type === 'listening') port = event.address.port;
        if (event.type === 'closed') members--;
      }),
    );
    await until(() => port !== undefined);
    for (let left = 10; left > 0; left--) dial(port as number);
    await until(() => members === 10);
    const publish = async () => {
      for (let left = 2000; left > 0 && members > 0; left--) {
        room.next('x'.repeat(10_000));
        if (left % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      room.complete();
    };
    await store.run(-1, publish);
    await until(() => members === 0);
    expect([...looked]).toEqual(expect.arrayContaining(['in a teardown', 'with a frame']));
    expect([...strays].filter((one) => !one.startsWith('in a teardown'))).toEqual([]);
  });
});

it('a generator goes on in the context in which it was begun', async () => {
  const network = new MemoryNetwork();
  const found = new Set<number | undefined>();
  const handler: Handler = (connection) => {
    store.enterWith(connection.id);
    return (function* () {
      for (let left = 20 * MANY; left > 0; left--) {
        found.add(store.getStore());
        yield '0123456789';
      }
    })();
  };
  subscriptions.push(serve({ port: 0 }, handler, { transport: network.transport, highWaterMark: 1000 }).subscribe());
  const client = network.connect({ window: 10_000 }).pause();
  const reading = setInterval(() => client.resume().pause(), 1);
  await until(() => client.text.length > 50 * MANY);
  clearInterval(reading);
  expect([...found]).toEqual([1]);
});

it('a silent connection misses its deadline in a context of its own', async () => {
  const network = new MemoryNetwork();
  const handler: Handler = (connection) =>
    store.run(connection.id, () =>
      connection.pipe(
        idle(5 + connection.id),
        lines(),
        catchError(() => {
          look(connection, 'at a deadline');
          return of('bye');
        }),
      ),
    );
  subscriptions.push(serve({ port: 0 }, handler, { transport: network.transport, linger: 1 }).subscribe());
  const all = Array.from({ length: 10 }, () => network.connect());
  await until(() => all.every(({ text }) => text === 'bye'));
  expect([[...looked], [...strays]]).toEqual([['at a deadline'], []]);
});
