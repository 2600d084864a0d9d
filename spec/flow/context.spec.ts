import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import {
  catchError,
  concat,
  delay,
  EMPTY,
  finalize,
  firstValueFrom,
  map,
  merge,
  mergeMap,
  NEVER,
  type Observable,
  of,
  Subject,
  tap,
  timer,
} from 'rxjs';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  broadcast,
  type Connection,
  connect,
  contextOf,
  type Data,
  deadline,
  exchange,
  greeting,
  type Handler,
  idle,
  inContextOf,
  lines,
  operateBytes,
  type ServeOptions,
  type ServerEvent,
  serve,
  withContext,
} from '../../lib/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import { endings, handlers, inMemory, LIMITS, real, SLOTS, until } from '../support/contexts.ts';
import { TestServer } from '../support/testServer.ts';

interface Store {
  readonly id: number;
}

/** Callbacks that found another context than that of their connection, as `callback: id for connection`. */
const strays = new Set<string>();
/** The kinds of callbacks that were checked. */
const checked = new Set<string>();
beforeEach(() => {
  strays.clear();
  checked.clear();
});

function check({ id }: Connection, what: string): void {
  checked.add(what);
  const found = contextOf<Store>()?.id;
  if (found !== id) strays.add(`${what}: ${found} for ${id}`);
}

const context = ({ id }: Connection): Store => ({ id });

/** A server, which ends with the test. */
function start(
  handler: Handler,
  options: ServeOptions,
): { readonly events: ServerEvent[]; port(): number | undefined } {
  const events: ServerEvent[] = [];
  const server = serve({ port: 0, host: '127.0.0.1' }, handler, options).subscribe((event) => events.push(event));
  onTestFinished(() => server.unsubscribe());
  const port = () => events.flatMap((event) => (event.type === 'listening' ? [event.address.port] : []))[0];
  return { events, port };
}

/** A handler that fails in every second request, and works on a request for a moment. */
const failing: Handler = (connection) =>
  exchange(
    lines(),
    async (line) => {
      check(connection, 'in project');
      await turn();
      check(connection, 'in project, after an await');
      if (line.length % 2 === 0) throw new Error('on purpose');
      return line;
    },
    {
      concurrency: 2,
      onError: () => {
        check(connection, 'in onError');
        return turn().then(() => {
          check(connection, 'in onError, after an await');
          return 'sorry';
        });
      },
    },
  )(connection);

/** A handler whose values come of timers and schedulers. */
const timed: Handler = (connection) =>
  connection.pipe(
    lines(),
    delay(1),
    mergeMap((line) => timer(1).pipe(map(() => line))),
    map((line) => {
      check(connection, 'behind timers of RxJS');
      return line;
    }),
  );

describe.each([
  ['sockets of the handle transport', real(nodeTransport)],
  ['sockets of the net transport', real(netTransport)],
  ['memory', inMemory],
])('on %s', (_kind, make) => {
  it('every callback of a handler has the value of its connection, and of no other', async () => {
    const { transport, dial } = make();
    const shutdown = new Subject<void>();
    const kinds = handlers(check);
    const ends = endings((_connection, work) => work());
    const handler: Handler = (connection) => {
      check(connection, 'at the start');
      connection.draining.subscribe(() => check(connection, 'when it drains'));
      connection.closed.subscribe(() => check(connection, 'when it is closed'));
      const handle = [...kinds, failing, timed][connection.id % (kinds.length + 2)] as Handler;
      const end = ends[Math.floor(connection.id / kinds.length) % ends.length] as (typeof ends)[number];
      return concat(handle(connection) as Observable<Data>, end(connection)).pipe(
        tap({ error: () => check(connection, 'on an error'), complete: () => check(connection, 'on the completion') }),
        finalize(() => check(connection, 'in a teardown')),
      );
    };
    const lastCall = (connection: unknown) => {
      check(connection as Connection, 'in lastCall');
      return 'bye';
    };
    const options = { ...LIMITS, ...(transport && { transport }), context, shutdown, lastCall, grace: 100 };
    const { events, port } = start(handler, options);
    await until(() => events.length > 0);
    const closed = () => events.filter(({ type }) => type === 'closed' || type === 'refused').length;
    const late = ['when it drains', 'in lastCall'];
    const wanted = [
      'after a promise of write()',
      'at the start',
      'behind timers of RxJS',
      'in a generator',
      'in a loop over frames',
      'in a teardown',
      'in an async generator',
      'in an operator',
      'in onError',
      'in onError, after an await',
      'in project',
      'in project, after an await',
      'on an error',
      'on the completion',
      'when it is closed',
      'with a frame',
    ];
    const all: { over(): boolean }[] = [];
    // On a slow machine connections may be refused for the budget: those of one kind, for example.
    do {
      for (let left = (kinds.length + 2) * ends.length; left > 0; left--) all.push(dial(port() as number));
      await until(() => closed() === all.length && all.every((one) => one.over()));
    } while (wanted.some((kind) => !checked.has(kind)));
    const opened = () => events.filter(({ type }) => type === 'opened').length;
    const before = opened();
    for (let left = 2 * SLOTS; left > 0; left--) dial(port() as number);
    await until(() => opened() > before);
    shutdown.next();
    await until(() => events.some(({ type }) => type === 'drained'));
    expect([...strays]).toEqual([]);
    expect([...checked].filter((kind) => !late.includes(kind)).sort()).toEqual(wanted);
  });

  it('a member of a broadcast receives values in its own context, not in that of the publisher', async () => {
    const { transport, dial } = make();
    const room = broadcast();
    const handler: Handler = (connection) =>
      merge(
        room.to(connection).pipe(tap(() => check(connection, 'with a value'))),
        exchange(lines(), (line) => {
          check(connection, 'with a frame');
          room.next(`${line}\n`);
          return undefined;
        })(connection),
      );
    const { events, port } = start(handler, {
      ...LIMITS,
      ...(transport && { transport }),
      context,
      concurrency: 100,
      budget: 100_000_000,
      halfOpen: false,
    });
    await until(() => events.length > 0);
    for (let left = 5; left > 0; left--) dial(port() as number);
    await until(() => events.filter(({ type }) => type === 'closed').length === 5);
    expect([[...strays], [...checked].sort()]).toEqual([[], ['with a frame', 'with a value']]);
  });
});

it.each([
  ['the handle transport', nodeTransport],
  ['the net transport', netTransport],
])('a connection that a handler makes has the context of its caller, on %s', async (_kind, transport) => {
  const options = { transport };
  const backend = start(
    (client) =>
      client.pipe(
        lines(),
        delay(1),
        map((line) => `${line}\n`),
      ),
    options,
  );
  await until(() => backend.events.length > 0);
  const ask = (line: string, client: Connection) =>
    connect({ port: backend.port() as number, host: '127.0.0.1' }, options).pipe(
      mergeMap((other) => {
        check(client, 'when it is connected');
        other.closed.subscribe(() => check(client, 'when it is closed'));
        void other.write(`${line}\n`).then(() => {
          check(client, 'after a promise of write()');
          other.halfClose();
        });
        return other.pipe(
          idle(60_000),
          lines(),
          tap(() => check(client, 'with a frame')),
          map((reply) => `${reply}\n`),
          finalize(() => check(client, 'in a teardown')),
        );
      }),
    );
  const { events, port } = start(exchange(lines(), ask), { ...options, context });
  await until(() => events.length > 0);
  const replies = Array.from({ length: 4 }, (_, index) =>
    firstValueFrom(
      connect({ port: port() as number, host: '127.0.0.1' }, options).pipe(
        mergeMap((client) => {
          void client.write(`${index}\n`);
          return client.pipe(lines());
        }),
      ),
    ),
  );
  expect(await Promise.all(replies)).toEqual(['0', '1', '2', '3']);
  await until(() => checked.has('when it is closed'));
  const kinds = ['when it is connected', 'after a promise of write()', 'with a frame', 'in a teardown'];
  expect([[...strays], [...checked].sort()]).toEqual([[], [...kinds, 'when it is closed'].sort()]);
});

describe('on virtual time', () => {
  it.each<[string, ServeOptions, string, Handler]>([
    ['idle', { idle: 10 }, '', (client) => client.pipe(lines())],
    ['greeting', { greeting: 10 }, '', (client) => client.pipe(lines())],
    ['frame', { frame: 10 }, 'a', (client) => client.pipe(lines())],
    ['the operator idle', {}, '', (client) => client.pipe(idle(10), lines())],
    ['the operator greeting', {}, '', (client) => client.pipe(greeting(10), lines())],
    ['the operator deadline', {}, '', (client) => client.pipe(lines(), deadline(10))],
    ['the timeout of a framing operator', {}, 'a', (client) => client.pipe(lines({ timeout: 10 }))],
    ['reply', { reply: 10 }, 'a\n', exchange(lines(), () => NEVER) as Handler],
  ])('an error of %s reaches the handler in its context', async (_name, options, sent, handler) => {
    const watched: Handler = (connection) =>
      (handler(connection) as Observable<string>).pipe(
        catchError(() => {
          check(connection, 'at the deadline');
          return of('bye');
        }),
        finalize(() => check(connection, 'in a teardown')),
      );
    const server = await TestServer.open(watched, { ...options, context, linger: 0 });
    const [one, other] = await server.connectAll(2);
    // What arms a timer last may be the callback of another connection.
    for (const client of [one, other]) client?.write(sent);
    await server.clock.settle();
    await server.clock.advance(20_000);
    expect([[...strays], [...checked].sort()]).toEqual([[], ['at the deadline', 'in a teardown']]);
  });

  it('a request that has waited begins in its context, whatever ends the one before it', async () => {
    const gates: Subject<string>[] = [];
    const decode = (source: Observable<Uint8Array>) =>
      source.pipe(
        lines(),
        mergeMap((line) => line.split(',')),
      );
    const project = (_line: string, connection: Connection) => {
      check(connection, 'with a request');
      const gate = new Subject<string>();
      gates.push(gate);
      return gate;
    };
    const onError = (_error: unknown, request: string) => {
      checked.add(`in onError: ${contextOf<Store>()?.id} for ${request}`);
      return 'sorry';
    };
    const server = await TestServer.open(exchange(decode, project, { onError }), { context });
    const client = await server.connect();
    client.write('a,b,c\n');
    await server.clock.settle();
    gates[0]?.complete();
    gates[1]?.error(new Error('on purpose'));
    expect(gates.length).toBe(3);
    expect([[...strays], [...checked]]).toEqual([[], ['with a request', 'in onError: 1 for b']]);
  });

  it('frames that were held back during a pause are passed on in their context, whatever ends it', async () => {
    let connection!: Connection;
    const gates: Subject<string>[] = [];
    const decode = (source: Observable<Uint8Array>) =>
      source.pipe(
        lines(),
        tap((line) => check(connection, `with ${line}`)),
      );
    const project = () => {
      const gate = new Subject<string>();
      gates.push(gate);
      return gate;
    };
    const handler: Handler = (source) => {
      connection = source;
      return exchange(decode, project)(source);
    };
    const server = await TestServer.open(handler, { context });
    const client = await server.connect();
    client.write('a\nb\n');
    await server.clock.settle();
    gates[0]?.complete();
    expect([[...strays], [...checked]]).toEqual([[], ['with a', 'with b']]);
  });

  it('an operator that was paused goes on in the context of its connection, whatever ends the pause', async () => {
    let resume = () => {};
    const pausing = operateBytes((sink, control) => ({
      next(chunk) {
        sink.next(chunk);
        control.pause();
        resume = () => control.resume();
      },
    }));
    const handler: Handler = (connection) =>
      connection.pipe(
        pausing,
        lines(),
        map((line) => {
          check(connection, `with ${line}`);
          resume();
          return line;
        }),
      );
    const server = await TestServer.open(handler, { context });
    const client = await server.connect();
    client.write('a\nb\n');
    await server.clock.settle();
    client.write('c\n');
    await server.clock.settle();
    resume();
    await server.clock.settle();
    expect([[...strays], [...checked]]).toEqual([[], ['with a', 'with b', 'with c']]);
  });

  it('a callback of an Observable that connections share has its own context behind inContextOf', async () => {
    const news = new Subject<string>();
    const handler: Handler = (connection) =>
      merge(
        news.pipe(
          inContextOf(connection),
          tap({
            next: () => check(connection, 'with a value'),
            error: () => check(connection, 'with an error'),
            complete: () => check(connection, 'at the end'),
          }),
          catchError(() => EMPTY),
        ),
        connection.pipe(
          lines(),
          tap((line) => (line === 'fail' ? news.error(new Error('on purpose')) : news.next(line))),
          mergeMap(() => EMPTY),
        ),
      );
    const server = await TestServer.open(handler, { context });
    const [client] = await server.connectAll(3);
    client?.write('hello\n');
    await server.clock.settle();
    client?.write('fail\n');
    await server.clock.settle();
    expect([[...strays], [...checked]]).toEqual([[], ['with a value', 'with an error']]);
  });
});

describe('the value', () => {
  it('is made once for each connection, before its handler', async () => {
    const calls: string[] = [];
    const server = await TestServer.open(
      ({ id }) => {
        calls.push(`handler ${id}`);
        return 'hello';
      },
      { context: ({ id }) => calls.push(`context ${id}`) },
    );
    await server.connectAll(2);
    expect(calls).toEqual(['context 1', 'handler 1', 'context 2', 'handler 2']);
  });

  it('is not there outside of a handler, nor without the option', async () => {
    const found: unknown[] = [contextOf()];
    const server = await TestServer.open(() => {
      found.push(contextOf());
      return 'hello';
    });
    await server.connect();
    expect(found).toEqual([undefined, undefined]);
  });

  it('is not there in the event `opened` of a connection that takes the place of another', async () => {
    const network = new MemoryNetwork();
    const found: unknown[] = [];
    const server = serve({ port: 0 }, (client) => client.pipe(lines()), {
      transport: network.transport,
      concurrency: 1,
      context,
    }).subscribe(({ type }) => type === 'opened' && found.push(contextOf()));
    onTestFinished(() => server.unsubscribe());
    await turn();
    const clients = [network.connect(), network.connect()];
    await turn();
    clients[0]?.end();
    await until(() => found.length === 2);
    expect(found).toEqual([undefined, undefined]);
  });

  it('ends the connection as failed, and no other, when it cannot be made', async () => {
    const server = await TestServer.open(
      (client) =>
        client.pipe(
          lines(),
          map((line) => `${line}\n`),
        ),
      {
        context: ({ id }) => {
          if (id === 1) throw new Error('on purpose');
          return id;
        },
      },
    );
    const [first, second] = await server.connectAll(2);
    second?.write('hello\n');
    await server.clock.settle();
    expect([first?.ended, second?.text]).toEqual([true, 'hello\n']);
    const failed = server.log.events.filter(({ type }) => type === 'failed');
    expect(failed).toMatchObject([{ id: 1, error: new Error('on purpose') }]);
  });

  it('can be a child of a logger, so that each line of a handler names its connection', async () => {
    const written: string[] = [];
    const root = pino({ base: null, timestamp: false }, { write: (line: string) => written.push(line) });
    const log = () => contextOf<typeof root>() ?? root;
    const find = async (name: string) => {
      await Promise.resolve();
      log().info(name);
      return name;
    };
    const server = await TestServer.open(exchange(lines(), find), {
      context: ({ id }) => root.child({ connection: id }),
    });
    const [first, second] = await server.connectAll(2);
    first?.write('tea\n');
    second?.write('milk\n');
    await server.clock.settle();
    log().info('outside');
    expect(written.map((line) => JSON.parse(line))).toEqual([
      { level: 30, connection: 1, msg: 'tea' },
      { level: 30, connection: 2, msg: 'milk' },
      { level: 30, msg: 'outside' },
    ]);
  });
});

describe('withContext', () => {
  it('enters several contexts at once', async () => {
    const [one, other] = [new AsyncLocalStorage<number>(), new AsyncLocalStorage<string>()];
    const found: unknown[] = [];
    const handler = exchange(lines(), async () => {
      await turn();
      found.push([one.getStore(), other.getStore(), contextOf<Store>()?.id]);
      return 'x';
    });
    const network = new MemoryNetwork();
    const enter = ({ id }: Connection, run: () => void) => one.run(id, () => other.run(`c${id}`, run));
    const server = serve({ port: 0 }, withContext(enter, handler), { transport: network.transport, context });
    const subscription = server.subscribe();
    onTestFinished(() => subscription.unsubscribe());
    await turn();
    for (let left = 2; left > 0; left--) network.connect().write('a\n');
    await until(() => found.length === 2);
    expect(found).toEqual([
      [1, 'c1', 1],
      [2, 'c2', 2],
    ]);
  });

  it.each([
    ['a string', () => 'hello'],
    ['a promise', async () => 'hello'],
    [
      'a generator',
      function* () {
        yield 'hel';
        yield 'lo';
      },
    ],
    ['an Observable', () => of('hello')],
  ])('passes on a handler that returns %s', async (_what, handler) => {
    const network = new MemoryNetwork();
    const server = serve(
      { port: 0 },
      withContext((_connection, run) => run(), handler),
      {
        transport: network.transport,
      },
    ).subscribe();
    onTestFinished(() => server.unsubscribe());
    await turn();
    const client = network.connect();
    await until(() => client.ended);
    expect(client.text).toBe('hello');
  });

  it('fails the connection if `enter` does not call `run`', async () => {
    const server = await TestServer.open(
      withContext(
        () => {},
        () => 'hello',
      ),
    );
    const client = await server.connect();
    expect([client.text, client.ended]).toEqual(['', true]);
    const message = 'Cannot set a context: enter did not call run before it returned';
    expect(server.log.events.filter(({ type }) => type === 'failed')).toMatchObject([{ error: { message } }]);
  });

  it('refuses a `run` that is called again, or later: no other context can be entered', async () => {
    const calls: unknown[] = [];
    let again = () => {};
    const own = new AsyncLocalStorage<string>();
    const enter = (_connection: Connection, run: () => void) => {
      again = run;
      own.run('own', run);
    };
    const handler = exchange(lines(), () => {
      calls.push(own.getStore());
      return 'x';
    });
    const server = await TestServer.open(withContext(enter, handler));
    const client = await server.connect();
    expect(() => own.run('other', again)).toThrow('Cannot set a context: run was called again, or too late');
    client.write('a\n');
    await server.clock.settle();
    expect(calls).toEqual(['own']);
  });

  it('rejects what is not a function', () => {
    expect(() => withContext(1 as never, () => 'x')).toThrow('Cannot set a context: enter must be a function, not 1');
    expect(() => withContext(() => {}, 'x' as never)).toThrow('the handler must be a function');
    expect(() => serve({ port: 0 }, () => 'x', { context: 1 as never })).toThrow('context must be a function, not 1');
  });
});
