import fc from 'fast-check';
import { map, NEVER, of, Subject, Subscriber, type Subscription, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { exchange } from '../../lib/flow/exchange.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection, ConnectionTable, ServeOptions, TableChange } from '../../lib/index.ts';
import { listen } from '../../lib/listen/listen.ts';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { TestServer, unfreed } from '../support/testServer.ts';
import { uncaughtWhile } from '../support/uncaught.ts';

const echo = (connection: Connection) => connection.pipe(lines(), map(encodeLine));
const neverEnding = () => NEVER;

const tableOf = ({ log }: TestServer): ConnectionTable => {
  const [event] = log.of('listening');
  if (event === undefined) throw new Error('The server does not listen');
  return event.connections;
};

/** A change in short: `snapshot 1,2`, `opened 3`, `changed 3 draining`, `closed 3 drained`. */
const short = (change: TableChange): string => {
  if (change.type === 'snapshot') return `snapshot ${change.rows.map(({ id }) => id).join()}`;
  if (change.type === 'closed') return `closed ${change.id} ${change.reason}`;
  return `${change.type} ${change.row.id}${change.type === 'changed' ? ` ${change.row.state}` : ''}`;
};

/** Records the changes of a table. */
function view(table: ConnectionTable) {
  const seen: string[] = [];
  const subscription = table.changes.subscribe({
    next: (change) => seen.push(short(change)),
    complete: () => seen.push('complete'),
  });
  return { seen, subscription };
}

describe('the changes of a table', () => {
  it('begin with the rows of now, and go on with each open, drain and close', async () => {
    const server = await TestServer.open(echo);
    const [first, second] = await server.connectAll(2);
    const { seen } = view(tableOf(server));
    await server.connect();
    for (const connection of tableOf(server)) if (connection.id === 1) connection.drain('moved');
    first?.end();
    second?.break();
    await server.clock.settle();
    expect(seen).toEqual(['snapshot 1,2', 'opened 3', 'changed 1 draining', 'closed 1 drained', 'closed 2 reset']);
    expect(server.log.of('closed').map(({ detail }) => detail)).toEqual(['moved', undefined]);
  });

  it('have the figures of each connection at that moment', async () => {
    const server = await TestServer.open(echo);
    const client = await server.connect();
    const changes: TableChange[] = [];
    tableOf(server).changes.subscribe((change) => void changes.push(change));
    client.write('hello\n');
    await server.clock.advance(40);
    const [row] = tableOf(server).rows();
    expect(row).toMatchObject({ id: 1, state: 'open', bytesIn: 6, bytesOut: 6, unsent: 0, dropped: 0, idle: 40 });
    expect(row?.paused).toEqual({ peer: 0, handler: 0, budget: 0 });
    client.end();
    await server.clock.settle();
    expect(changes).toMatchObject([
      { type: 'snapshot', rows: [{ bytesIn: 0, idle: 0 }] },
      { type: 'closed', id: 1, reason: 'ended', bytesIn: 6, bytesOut: 6, duration: 40 },
    ]);
    expect(changes[1]).toEqual(server.log.of('closed')[0]);
  });

  it('show how far a connection is', async () => {
    const server = await TestServer.open(() => of('x'.repeat(100)), { linger: 500 });
    const states = () =>
      tableOf(server)
        .rows()
        .map(({ state }) => state);
    server.network.connect({ window: 10 }).pause();
    await server.connect();
    expect(states()).toEqual(['ending', 'lingering']);
    for (const connection of tableOf(server)) connection.abort();
    expect(states()).toEqual(['closing', 'closing']);
  });

  it('complete with the last connection of a drain', async () => {
    const server = await TestServer.open(echo);
    const [client] = await server.connectAll(1);
    const { seen } = view(tableOf(server));
    await server.signal();
    expect(seen).toEqual(['snapshot 1', 'changed 1 draining']);
    client?.end();
    await server.clock.settle();
    expect(seen.slice(2)).toEqual(['closed 1 drained', 'complete']);
    const late = view(tableOf(server));
    expect(late.seen).toEqual(['snapshot ', 'complete']);
  });

  it('complete when the server is unsubscribed, and when a drain ends although sockets are open', async () => {
    const server = await TestServer.open(echo);
    await server.connect();
    const { seen } = view(tableOf(server));
    server.log.subscription?.unsubscribe();
    expect(seen).toEqual(['snapshot 1', 'complete']);

    const stuck = await TestServer.open(neverEnding, { grace: 10 }, unfreed);
    await stuck.connect();
    const end = view(tableOf(stuck));
    await stuck.signal();
    await stuck.clock.advance(10 + 100);
    expect(end.seen).toEqual(['snapshot 1', 'changed 1 draining', 'complete']);
    expect(tableOf(stuck).size).toBe(1);
  });

  it('complete with the last connection of `listen`, once its port is closed', async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const log = new Log();
    const stop = new Subject<void>();
    const connections: Connection[] = [];
    const port = listen({ port: 0 }, { transport: network.transport, scheduler: clock, events: log });
    const subscription = port.subscribe((connection) => {
      connections.push(connection);
      connection.pipe(lines(), connection.send()).subscribe();
    });
    await clock.settle();
    const table = log.of('listening')[0]?.connections as ConnectionTable;
    const { seen } = view(table);
    network.connect();
    await clock.settle();
    subscription.unsubscribe();
    stop.next();
    expect(seen).toEqual(['snapshot ', 'opened 1']);
    expect(table.rehearse()).toMatchObject({ idle: 1, busy: 0, aborted: 0, longest: 1000 + 10_000 + 100 });
    connections[0]?.abort();
    await clock.settle();
    expect(seen.slice(2)).toEqual(['closed 1 aborted', 'complete']);
  });

  it('reach all subscribers in the order in which they happen, though one drains and aborts within the call', async () => {
    const server = await TestServer.open(neverEnding);
    const table = tableOf(server);
    const before = view(table);
    table.changes.subscribe((change) => {
      if (change.type === 'opened') table.drain(() => true);
      if (change.type === 'changed') table.abort(({ id }) => id === change.row.id, 'drained');
    });
    const after = view(table);
    await server.connect();
    await server.clock.settle();
    const expected = ['snapshot ', 'opened 1', 'changed 1 draining', 'closed 1 aborted'];
    expect(before.seen).toEqual(expected);
    expect(after.seen).toEqual(expected);
  });

  it('are in the snapshot of a subscriber that subscribes within a call, or follow it, but not both', async () => {
    const server = await TestServer.open(neverEnding);
    const table = tableOf(server);
    const inner: string[][] = [];
    table.changes.subscribe((change) => {
      if (change.type !== 'opened') return;
      table.drain(({ id }) => id === change.row.id);
      inner.push(view(table).seen);
    });
    await server.connectAll(2);
    expect(inner).toEqual([['snapshot 1', 'opened 2', 'changed 2 draining'], ['snapshot 1,2']]);
  });

  it('go on for all others when a subscriber throws or unsubscribes, and so does the server', async () => {
    const server = await TestServer.open(echo);
    const table = tableOf(server);
    const thrown = await uncaughtWhile(async () => {
      table.changes.subscribe(() => {
        throw new Error('by an observer');
      });
      class Throwing extends Subscriber<TableChange> {
        override next(): void {
          throw new Error('by a Subscriber');
        }
      }
      table.changes.subscribe(new Throwing());
      const once = table.changes.pipe(take(2)).subscribe();
      const { seen } = view(table);
      const client = await server.connect();
      client.write('still\n');
      client.end();
      await server.clock.settle();
      expect(client.text).toBe('still\n');
      expect(once.closed).toBe(true);
      expect(seen).toEqual(['snapshot ', 'opened 1', 'closed 1 ended']);
      await new Promise((resolve) => setTimeout(resolve, 1));
    });
    expect(new Set(thrown)).toEqual(new Set(['by an observer', 'by a Subscriber']));
    expect(server.log.closes).toEqual(['ended']);
  });
});

describe('operations on the connections of a table', () => {
  it('drain those for which a predicate holds, with a reason, and count those that were not asked before', async () => {
    const server = await TestServer.open(echo);
    const clients = await server.connectAll(4);
    const table = tableOf(server);
    expect(table.drain(({ id }) => id % 2 === 0, 'rebalance')).toBe(2);
    expect(table.drain(({ id }) => id > 2)).toBe(1);
    expect(clients.map(({ ended }) => ended)).toEqual([false, false, false, false]);
    await server.clock.settle();
    expect(clients.map(({ ended }) => ended)).toEqual([false, true, true, true]);
    for (const client of clients) client.end();
    await server.clock.settle();
    const closed = server.log.of('closed').map(({ id, reason, detail }) => [id, reason, detail]);
    expect(closed.sort()).toEqual([
      [1, 'ended', undefined],
      [2, 'drained', 'rebalance'],
      [3, 'drained', undefined],
      [4, 'drained', 'rebalance'],
    ]);
  });

  it('abort those for which a predicate holds, with a reason, and count those that were not closing', async () => {
    const server = await TestServer.open(neverEnding);
    await server.connectAll(3);
    const table = tableOf(server);
    expect(table.abort(({ id }) => id < 3, 'banned')).toBe(2);
    expect(table.abort(() => true)).toBe(1);
    expect(table.abort(() => true)).toBe(0);
    await server.clock.settle();
    expect(server.log.of('closed').map(({ reason, detail }) => [reason, detail])).toEqual([
      ['aborted', 'banned'],
      ['aborted', 'banned'],
      ['aborted', undefined],
    ]);
    expect([table.size, [...table]]).toEqual([0, []]);
  });

  it('do nothing to any connection if the predicate throws, or returns a promise', async () => {
    const server = await TestServer.open(echo);
    await server.connectAll(2);
    const table = tableOf(server);
    const fault = new Error('in the predicate');
    const throws = ({ id }: { id: number }) => {
      if (id === 2) throw fault;
      return true;
    };
    expect(() => table.abort(throws)).toThrow(fault);
    expect(() => table.drain(throws)).toThrow(fault);
    const isAsync = (async () => false) as never;
    expect(() => table.abort(isAsync)).toThrow(
      'Cannot abort connections: predicate must return true or false, not Promise',
    );
    await server.clock.settle();
    expect(table.rows().map(({ state }) => state)).toEqual(['open', 'open']);
  });

  it('throw a TypeError for what is no predicate and for what is no reason', async () => {
    const table = tableOf(await TestServer.open(echo));
    expect(() => table.drain(true as never)).toThrow(
      new TypeError('Cannot drain connections: predicate must be a function, not true'),
    );
    expect(() => table.abort(() => true, '')).toThrow(
      new TypeError('Cannot abort connections: reason must be a string that is not empty'),
    );
    expect(() => table.rehearse({ grace: -1 })).toThrow(
      new RangeError('Cannot rehearse a drain: grace must be milliseconds, 0 or more, not -1'),
    );
    expect(() => table.rehearse({ patience: 1 } as never)).toThrow(TypeError);
  });

  it('show the detail of `drain()` of one connection, unless it was asked before', async () => {
    const server = await TestServer.open(echo);
    const client = await server.connect();
    const [connection] = tableOf(server);
    expect(() => connection?.drain('')).toThrow(
      new TypeError('Cannot drain a connection: detail must be a string that is not empty'),
    );
    connection?.drain('first');
    connection?.drain('second');
    client.end();
    await server.clock.settle();
    expect(server.log.of('closed').map(({ reason, detail }) => [reason, detail])).toEqual([['drained', 'first']]);
  });

  it('work on some in each iteration of the event loop', async () => {
    const server = await TestServer.open(neverEnding, {
      concurrency: 3000,
      waiting: { max: 3000 },
      perAddress: { connections: 3000 },
    });
    await server.connectAll(3000);
    const table = tableOf(server);
    const draining = () => table.rows().filter(({ state }) => state === 'draining').length;
    expect(table.drain(() => true)).toBe(3000);
    expect(draining()).toBe(1024);
    await server.clock.settle();
    expect(draining()).toBe(3000);
  });

  it('leave out those that are gone before their turn', async () => {
    const server = await TestServer.open(neverEnding);
    await server.connectAll(3);
    const table = tableOf(server);
    table.changes.subscribe((change) => change.type === 'changed' && table.abort(({ id }) => id === 3));
    expect(table.drain(() => true, 'late')).toBe(3);
    await server.clock.settle();
    expect(server.log.of('closed').map(({ id, detail }) => [id, detail])).toEqual([[3, undefined]]);
  });
});

interface World {
  readonly server: TestServer;
  readonly clients: MemoryClient[];
  readonly viewers: Viewer[];
}

/** Knows what a subscriber of the changes knows. */
class Viewer {
  /** The states of the open connections, by id. */
  readonly known = new Map<number, string>();
  readonly subscription: Subscription;
  isOver = false;
  #count = 0;

  constructor(table: ConnectionTable, act: (change: TableChange) => void) {
    this.subscription = table.changes.subscribe({
      next: (change) => {
        expect(change.type === 'snapshot').toBe(this.#count++ === 0);
        if (change.type === 'snapshot') for (const { id, state } of change.rows) this.known.set(id, state);
        else if (change.type === 'closed') expect(this.known.delete(change.id)).toBe(true);
        else {
          expect(this.known.has(change.row.id)).toBe(change.type === 'changed');
          this.known.set(change.row.id, change.row.state);
        }
        act(change);
      },
      complete: () => {
        this.isOver = true;
      },
    });
  }
}

const acts: Record<
  string,
  (table: ConnectionTable, viewer: () => Viewer | undefined) => (change: TableChange) => void
> = {
  looks: () => () => {},
  drains: (table) => (change) => void (change.type === 'opened' && table.drain(({ id }) => id === change.row.id)),
  aborts: (table) => (change) => void (change.type === 'changed' && table.abort(({ id }) => id === change.row.id)),
  leaves: (_table, viewer) => (change) => void (change.type === 'closed' && viewer()?.subscription.unsubscribe()),
};

type Command = (world: World) => void;

const commands: fc.Arbitrary<Command> = fc.oneof(
  fc.constant<Command>(({ server, clients }) => void clients.push(server.network.connect())),
  fc.constant<Command>(({ server, clients }) => void clients.push(server.network.connect({ allowHalfOpen: true }))),
  fc.nat(5).map<Command>(
    (index) =>
      ({ clients }) =>
        clients.at(-1 - index)?.end(),
  ),
  fc.nat(5).map<Command>(
    (index) =>
      ({ clients }) =>
        clients.at(-1 - index)?.break(),
  ),
  fc.nat(3).map<Command>(
    (rest) =>
      ({ server }) =>
        void tableOf(server).drain(({ id }) => id % 4 === rest),
  ),
  fc.nat(3).map<Command>(
    (rest) =>
      ({ server }) =>
        void tableOf(server).abort(({ id }) => id % 4 === rest),
  ),
  fc.constantFrom(...Object.values(acts)).map<Command>((act) => ({ server, viewers }) => {
    const table = tableOf(server);
    const viewer: Viewer = new Viewer(
      table,
      act(table, () => viewers.find((one) => one === viewer)),
    );
    viewers.push(viewer);
  }),
  fc.nat(3).map<Command>(
    (index) =>
      ({ viewers }) =>
        viewers.at(-1 - index)?.subscription.unsubscribe(),
  ),
);

it('each subscriber of the changes knows the table, for any commands, and the changes complete', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(commands, fc.boolean()), { maxLength: 30 }),
      fc.boolean(),
      async (steps, isDrained) => {
        const options: ServeOptions = { linger: 50, grace: 100, greeting: Number.POSITIVE_INFINITY };
        const server = await TestServer.open(
          (connection) => (connection.id % 3 === 0 ? NEVER : echo(connection)),
          options,
        );
        const world: World = { server, clients: [], viewers: [] };
        const table = tableOf(server);
        for (const [step, settles] of steps) {
          step(world);
          if (!settles) continue;
          await server.clock.settle();
          const rows = table.rows();
          expect(table.size).toBe(rows.length);
          expect(server.log.counters.active).toBe(rows.length);
          for (const { known, subscription } of world.viewers) {
            if (subscription.closed) continue;
            expect([...known.keys()]).toEqual(rows.map(({ id }) => id));
            for (const { id, state } of rows) {
              if (state === 'open' || state === 'draining') expect(known.get(id)).toBe(state);
            }
          }
        }
        const left = world.viewers.filter(({ subscription }) => !subscription.closed);
        if (isDrained) await server.signal();
        else server.log.subscription?.unsubscribe();
        await server.clock.advance(201);
        expect(left.every(({ isOver, subscription }) => isOver || subscription.closed)).toBe(true);
        expect(server.clock.actions).toEqual([]);
      },
    ),
    { numRuns: 300 },
  );
});

describe('a rehearsal', () => {
  const rehearsed = (server: TestServer) => {
    const { idle, busy, aborted, duration } = tableOf(server).rehearse();
    return { idle, busy, aborted, duration };
  };

  it('counts connections between two frames as idle', async () => {
    const server = await TestServer.open(echo, { grace: 400, announce: 30 });
    const [one] = await server.connectAll(3);
    one?.write('hello\n');
    await server.clock.settle();
    expect(tableOf(server).rehearse()).toEqual({
      idle: 3,
      busy: 0,
      aborted: 0,
      unsent: 0,
      duration: 30,
      longest: 30 + 400 + 400 + 100,
    });
    expect(tableOf(server).rehearse({ announce: 7, grace: 2000 })).toMatchObject({ duration: 7, longest: 3107 });
    expect(
      tableOf(server)
        .rows()
        .map(({ state }) => state),
    ).toEqual(['open', 'open', 'open']);
  });

  it('takes a request to need as long again as it has, and a frame that has begun as well', async () => {
    const server = await TestServer.open(
      exchange(lines(), () => NEVER),
      { grace: 100 },
    );
    const [asks, begins] = await server.connectAll(3);
    asks?.write('request\n');
    await server.clock.advance(30);
    begins?.write('a part');
    await server.clock.advance(60);
    expect(rehearsed(server)).toEqual({ idle: 1, busy: 2, aborted: 0, duration: 90 });
    await server.clock.advance(20);
    expect(rehearsed(server)).toEqual({ idle: 1, busy: 1, aborted: 1, duration: 100 });
    // The work goes on while the port is still open.
    expect(tableOf(server).rehearse({ announce: 20 })).toMatchObject({ idle: 1, busy: 2, duration: 20 + 90 });
  });

  it('takes unsent bytes to leave at the rate so far, and never if none leaves', async () => {
    const server = await TestServer.open(() => of('x'.repeat(1000)), { grace: 5000 });
    server.network.connect({ window: 100 }).pause();
    await server.clock.advance(20);
    expect(rehearsed(server)).toEqual({ idle: 0, busy: 1, aborted: 0, duration: 20 });
    await server.clock.advance(1000);
    expect(tableOf(server).rehearse()).toMatchObject({ busy: 0, aborted: 1, unsent: 900, duration: 5000 });
  });

  it('counts a peer that stalls before the grace is over as one that ends by its deadline', async () => {
    const server = await TestServer.open(() => of('x'.repeat(1000)), { grace: 5000, stall: 2000 });
    server.network.connect({ window: 100 }).pause();
    await server.clock.advance(1500);
    expect(tableOf(server).rehearse()).toMatchObject({ busy: 1, aborted: 0, unsent: 900, duration: 500 });
    await server.signal();
    await server.clock.advance(600);
    expect(server.log.report).toMatchObject({ drained: 1, aborted: 0, unsent: 900, duration: 500 });
  });

  it('agrees with the drain that follows', async () => {
    const server = await TestServer.open(echo, {
      concurrency: 500,
      waiting: { max: 500 },
      perAddress: { connections: 500 },
    });
    for (let i = 0; i < 500; i++) server.network.connect();
    await server.clock.settle();
    const { idle, busy, aborted, duration } = tableOf(server).rehearse();
    await server.signal();
    expect(server.log.report).toMatchObject({ drained: idle + busy, aborted });
    expect(server.log.report.duration).toBe(duration);
  });
});
