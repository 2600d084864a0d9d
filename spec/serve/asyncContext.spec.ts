import { AsyncLocalStorage } from 'node:async_hooks';
import {
  catchError,
  concat,
  EMPTY,
  finalize,
  merge,
  mergeMap,
  Observable,
  of,
  Subject,
  type Subscription,
  tap,
} from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import {
  endings as allEndings,
  handlers as allHandlers,
  inMemory,
  LIMITS,
  MANY,
  real,
  SLOTS,
  until,
} from '../support/contexts.ts';

const store = new AsyncLocalStorage<number>();
/** Callbacks that ran in the context of another connection, as `callback: store for connection`. */
const strays = new Set<string>();
/** The kinds of callbacks that were checked. The specs compare them with a list, so that none is left out. */
const checked = new Set<string>();

/** Checks the context of a callback of this connection, which has to be the connection's own or none. */
function check({ id }: Connection, what: string): void {
  checked.add(what);
  const found = store.getStore();
  if (found !== undefined && found !== id) strays.add(`${what}: ${found} for ${id}`);
}

const handlers = allHandlers(check);
const endings = allEndings((connection, work) => store.run(connection.id, work));

function watched(connection: Connection, enter: boolean): Observable<Data> {
  const { id } = connection;
  check(connection, 'at the start');
  if (enter) store.enterWith(id);
  connection.draining.subscribe(() => check(connection, 'when it drains'));
  connection.closed.subscribe(() => check(connection, 'when it is closed'));
  const handle = handlers[id % handlers.length] as (typeof handlers)[number];
  const ending = endings[Math.floor(id / handlers.length) % endings.length] as (typeof endings)[number];
  return store
    .run(id, () => concat(handle(connection), ending(connection)))
    .pipe(
      (source) => new Observable<Data>((to) => store.run(id, () => source.subscribe(to))),
      tap({ error: () => check(connection, 'on an error'), complete: () => check(connection, 'on the completion') }),
      finalize(() => check(connection, 'in a teardown')),
    );
}

const subscriptions: Subscription[] = [];
afterEach(() => {
  for (const one of subscriptions.splice(0)) one.unsubscribe();
});
beforeEach(() => {
  strays.clear();
  checked.clear();
});

/** The kinds of callbacks that the connections of the first specs have before the drain. */
const BEFORE_A_DRAIN = [
  'after a promise of write()',
  'at the start',
  'in a generator',
  'in a loop over frames',
  'in a teardown',
  'in an async generator',
  'in an operator',
  'on an error',
  'on the completion',
  'when it is closed',
  'with a frame',
];

/** Connects clients for all handlers and endings, and waits until they are closed, as often as it takes to see all kinds. */
async function dialAll(dial: () => { over(): boolean }, closed: () => number): Promise<void> {
  const all: { over(): boolean }[] = [];
  // On a slow machine connections may arrive after others have filled the budget, and be refused: those that fail, for example.
  do {
    for (let left = handlers.length * endings.length; left > 0; left--) all.push(dial());
    await until(() => closed() === all.length && all.every((one) => one.over()));
  } while (BEFORE_A_DRAIN.some((kind) => !checked.has(kind)));
}

describe.each([
  ['sockets of the handle transport', real(nodeTransport)],
  ['sockets of the net transport', real(netTransport)],
  ['memory', inMemory],
])('on %s', (_kind, make) => {
  it.each([
    ['runs a callback in', false],
    ['enters', true],
  ])('no callback of a connection runs in a context that another connection %s', async (_how, enter) => {
    const { transport, dial } = make();
    const options = transport === undefined ? {} : { transport };
    let port: number | undefined;
    let closed = 0;
    let isDrained = false;
    let isLast = false;
    let opened = 0;
    const shutdown = new Subject<void>();
    const handler: Handler = (connection) => watched(connection, enter);
    const server = serve({ port: 0, host: '127.0.0.1' }, handler, { ...LIMITS, ...options, shutdown, grace: 100 });
    subscriptions.push(
      server.subscribe({
        next: (event) => {
          if (event.type === 'listening') port = event.address.port;
          if (event.type === 'closed' || event.type === 'refused') closed++;
          // The first of them is being served then, whatever the machine does meanwhile.
          if (isLast && event.type === 'opened' && ++opened === 2) {
            queueMicrotask(() => store.run(-1, () => shutdown.next()));
          }
        },
        complete: () => {
          isDrained = true;
        },
      }),
    );
    await until(() => port !== undefined);
    await dialAll(
      () => dial(port as number),
      () => closed,
    );
    // A few more connections, which are drained from the context of another one's code.
    isLast = true;
    for (let left = 2 * SLOTS; left > 0; left--) dial(port as number);
    await until(() => isDrained);
    expect([...strays]).toEqual([]);
    expect([...checked].sort()).toEqual([...BEFORE_A_DRAIN, 'when it drains'].sort());
  });

  it('a handler behind `listen` does not start in the context of the connection that freed its slot', async () => {
    const { transport, dial } = make();
    const options = transport === undefined ? {} : { transport };
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
        { ...options, events: events as never, linger: 200, waiting: { timeout: 60_000 } },
      )
        .pipe(
          mergeMap((connection) => {
            check(connection, 'at the start');
            return watched(connection, false).pipe(
              connection.send(),
              catchError(() => EMPTY),
            );
          }, SLOTS),
        )
        .subscribe(),
    );
    await until(() => port !== undefined);
    await dialAll(
      () => dial(port as number),
      () => closed,
    );
    expect([...strays]).toEqual([]);
  });

  it('a member of a broadcast handles its frames outside of the context of the publisher', async () => {
    const { transport, dial } = make();
    const options = transport === undefined ? {} : { transport };
    const room = broadcast();
    let port: number | undefined;
    let members = 0;
    const handler: Handler = (connection) => {
      members++;
      const leaving = finalize<Data>(() => check(connection, 'in a teardown'));
      const replies = exchange(lines(), (line, member) => {
        check(member, 'with a frame');
        return line;
      })(connection);
      return new Observable<Data>((to) => {
        const joined = room.to(connection, { maxOutbound: 50_000, overrun: 'disconnect' });
        to.add(merge(joined.pipe(leaving), replies).subscribe(to));
      });
    };
    subscriptions.push(
      serve({ port: 0, host: '127.0.0.1' }, handler, { ...LIMITS, ...options, concurrency: 100 }).subscribe((event) => {
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
    expect([...checked]).toEqual(expect.arrayContaining(['in a teardown', 'with a frame']));
    // A value of the publisher may disconnect a slow member. That member's teardown runs within the publisher's call.
    expect([...strays].filter((one) => !one.startsWith('in a teardown'))).toEqual([]);
  });
});

it('a generator continues in the context in which it was started', async () => {
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

it('an error of the idle deadline reaches a handler in no context of another connection', async () => {
  const network = new MemoryNetwork();
  const handler: Handler = (connection) =>
    store.run(connection.id, () =>
      connection.pipe(
        idle(5 + connection.id),
        lines(),
        catchError(() => {
          check(connection, 'at a deadline');
          return of('bye');
        }),
      ),
    );
  subscriptions.push(serve({ port: 0 }, handler, { transport: network.transport, linger: 1 }).subscribe());
  const all = Array.from({ length: 10 }, () => network.connect());
  await until(() => all.every(({ text }) => text === 'bye'));
  expect([[...checked], [...strays]]).toEqual([['at a deadline'], []]);
});
