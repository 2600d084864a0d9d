import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  catchError,
  config,
  EMPTY,
  filter,
  finalize,
  map,
  mergeMap,
  type NextObserver,
  type Observable,
  Subject,
  takeUntil,
  tap,
} from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { idle } from '../../lib/deadline/idle.ts';
import type { Counters, ListenEvent, ListeningEvent } from '../../lib/events.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import { type Connection, nodeTransport, type Transport } from '../../lib/index.ts';
import { listen } from '../../lib/listen/listen.ts';
import type { ListenOptions } from '../../lib/listen/listenOptions.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { client, clients, closeClients } from '../support/client.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const HERE = { port: 0, host: '127.0.0.1' };

/** Bytes that the system has for the path of a unix socket. */
const PATH = process.platform === 'linux' ? 107 : 103;
const opened: Log[] = [];

/** A server of `listen` and some operators, and its events. */
async function open(
  operators: (connections: Observable<Connection>) => Observable<unknown>,
  options: ListenOptions = {},
  where: Parameters<typeof listen>[0] = HERE,
) {
  const log = new Log();
  opened.push(log);
  const server = operators(listen(where, { events: log, ...options }));
  log.subscription = server.subscribe({ error: log.error, complete: log.complete });
  return { log, port: await log.whenListening() };
}

afterEach(() => {
  for (const log of opened.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

/** Subscribes to every connection and echoes. */
const echo = (concurrency?: number) => (connections: Observable<Connection>) =>
  connections.pipe(mergeMap((connection) => connection.pipe(connection.send()), concurrency));

describe('listen', () => {
  it('emits the address that the system has chosen', async () => {
    const { log, port } = await open(echo());
    expect(port).toBeGreaterThan(0);
    expect(log.of('listening')[0]?.address).toEqual({ address: '127.0.0.1', port });
    const one = await client(port).whenConnected();
    await one.write('hello').whenRead('hello');
  });

  it('errors once, with the error of Node, when the port is in use', async () => {
    const { port } = await open(echo());
    const events = new Log();
    const errors: NodeJS.ErrnoException[] = [];
    const second = listen({ port, host: '127.0.0.1' }, { events });
    second.subscribe({ error: (error) => errors.push(error) });
    const third = new Promise((resolve) => second.subscribe({ error: resolve }));
    expect(await third).toMatchObject({ code: 'EADDRINUSE', syscall: 'listen', port });
    expect(errors).toMatchObject([{ code: 'EADDRINUSE' }]);
    expect(events.events).toEqual([]);
    await client(port).write('still there').whenRead('still there');
  });

  it.each([
    ['a path whose folder does not exist', { path: '/no/such/folder/socket' }, /ENOENT|EACCES/],
    // Not even root may create a socket there. Where there is no such folder, no user can.
    ['a path without permission', { path: '/proc/sluice' }, process.platform === 'linux' ? /EACCES/ : /ENOENT|EACCES/],
    ['an address of another machine', { port: 0, host: '192.0.2.1' }, /EADDRNOTAVAIL/],
    ['a descriptor that is not open', { fd: 9999 }, /EBADF|EINVAL/],
  ])('errors with the error of Node for %s', async (_what, where, code) => {
    await expect(open(echo(), {}, where)).rejects.toMatchObject({ code: expect.stringMatching(code) });
  });

  it('opens no port before it is subscribed to, and closes the port when it is unsubscribed', async () => {
    let ports = 0;
    const counting: Transport = {
      listen: (...how) => {
        ports++;
        return nodeTransport.listen(...how);
      },
    };
    listen(HERE, { transport: counting });
    expect(ports).toBe(0);
    const { log, port } = await open(echo(), { transport: counting });
    expect(ports).toBe(1);
    log.subscription?.unsubscribe();
    const other = createServer();
    await new Promise<void>((resolve, reject) => other.on('error', reject).listen(port, '127.0.0.1', resolve));
    await new Promise((resolve) => other.close(resolve));
  });

  it.each([{ port: 0, host: '127.0.0.1' }, { port: 0, host: 'localhost' }, { port: 0 }])(
    'opens no port when it is unsubscribed before the port is open: %o',
    async (where) => {
      const log = new Log();
      listen(where, { events: log }).subscribe().unsubscribe();
      // What was in progress when it was unsubscribed is over by the time that another port was opened and closed.
      const { log: other } = await open(echo(), {}, where);
      other.subscription?.unsubscribe();
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      expect(log.events).toEqual([]);
      expect(process.getActiveResourcesInfo()).not.toContain('TCPServerWrap');
    },
  );

  it('listens on the path of a unix socket, and removes it when it is unsubscribed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-'));
    const path = join(folder, 'socket');
    try {
      const { log } = await open(echo(), {}, { path });
      expect(log.of('listening')[0]?.address).toEqual({ address: path, port: undefined });
      const one = await client(path).write('hello').whenRead('hello');
      one.end();
      await one.whenClosed();
      expect(one.fault).toBeUndefined();
      await log.whenEmitted('closed');
      expect(log.closes).toEqual(['ended']);
      log.subscription?.unsubscribe();
      expect(existsSync(path)).toBe(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('runs at most as many handlers as mergeMap allows: 100 for 1000 connections', async () => {
    let running = 0;
    let most = 0;
    const handler = (connection: Connection) => {
      most = Math.max(most, ++running);
      return connection.pipe(
        connection.send(),
        finalize(() => running--),
      );
    };
    const { log, port } = await open((connections) => connections.pipe(mergeMap(handler, 100)), {
      waiting: { max: 0 },
    });
    const all = clients(1000, port);
    const refused = async () => {
      await log.whenEmitted('refused', 900);
      await Promise.all(all.map((one) => one.until(({ closed, connected }) => closed || connected)));
    };
    await refused();
    expect(most).toBe(100);
    expect(log.refusals).toEqual(Array(900).fill('full'));
    expect(log.counters).toEqual({ accepted: 1000, waiting: 0, active: 100, closed: 0, refused: 900 });
    await Promise.all(
      all.map(async (one) => {
        one.write('x').end();
        await one.whenClosed();
      }),
    );
    await log.whenEmitted('closed', 100);
    expect(all.filter(({ text }) => text === 'x')).toHaveLength(100);
    expect(most).toBe(100);
    expect(running).toBe(0);
  });

  it('sends a refused connection the farewell and a FIN at once', async () => {
    const { log, port } = await open(echo(1), { waiting: { max: 0 }, farewell: 'come back later\n' });
    await client(port).write('in').whenRead('in');
    // The first of them is refused after mergeMap has buffered it, the others before they are handed out.
    const late = clients(3, port);
    for (const one of late) one.write('a request that is not read');
    await Promise.all(late.map((one) => one.whenClosed()));
    expect(late.map(({ text, fault }) => [text, fault])).toEqual(Array(3).fill(['come back later\n', undefined]));
    expect(log.refusals).toEqual(['full', 'full', 'full']);
  });

  it('sends the farewell that a function returns for the reason, and none when that throws', async () => {
    const farewell = (reason: string) => {
      if (reason === 'full') return 'no room\n';
      if (reason === 'nothing') return undefined;
      if (reason === 'a number') return 7 as unknown as string;
      throw new Error(`no farewell for ${reason}`);
    };
    const reasons = ['full', 'nothing', 'a number', 'odd', 'full'];
    const { log, port } = await open(
      (connections) =>
        echo()(
          connections.pipe(
            filter((connection) => {
              const reason = reasons[connection.id - 1];
              if (reason !== undefined) connection.refuse(reason);
              return reason === undefined;
            }),
          ),
        ),
      { farewell },
    );
    const farewells: string[] = [];
    for (const _ of reasons) {
      const one = client(port);
      await one.whenClosed();
      farewells.push(one.text);
    }
    expect(farewells).toEqual(['no room\n', '', '', '', 'no room\n']);
    expect(log.refusals).toEqual(reasons);
    expect(log.of('failed').map(({ id, error }) => [id, String(error)])).toEqual([
      [3, 'TypeError: Cannot send farewell: what the function returns must be a string or a Uint8Array, not 7'],
      [4, 'Error: no farewell for odd'],
    ]);
    await client(port).write('in').whenRead('in');
  });

  it('hands out the next connection when an operator refuses one', async () => {
    const welcome = (connection: Connection) => {
      if (connection.id % 2 === 0) return true;
      connection.refuse('odd');
      return false;
    };
    const { log, port } = await open((connections) => echo()(connections.pipe(filter(welcome))));
    const all = clients(50, port);
    await log.whenEmitted('opened', 25);
    await log.whenEmitted('refused', 25);
    expect(log.of('refused').every(({ id, reason }) => id % 2 === 1 && reason === 'odd')).toBe(true);
    await Promise.all(all.map((one) => one.until(({ closed, connected }) => closed || connected)));
  });

  it('hands out the next connection when the wait of one that an operator dropped is over', async () => {
    const { log, port } = await open((connections) => echo()(connections.pipe(filter(({ id }) => id > 1))), {
      waiting: { timeout: 100 },
    });
    const dropped = client(port);
    await dropped.whenClosed();
    const next = await client(port).write('hello').whenRead('hello');
    expect(log.refusals).toEqual(['timeout']);
    next.end();
  });

  it('hands out as many connections as `ahead` before the first is subscribed to', async () => {
    const handed: number[] = [];
    const { log, port } = await open(
      tap((connection: Connection) => handed.push(connection.id)),
      {
        ahead: 3,
        waiting: { max: 5 },
      },
    );
    clients(6, port);
    await log.whenEmitted('refused');
    expect(log.counters.waiting).toBe(5);
    expect(handed).toEqual([1, 2, 3]);
  });

  it('refuses a connection as `gone` that is reset while it waits, and serves the next', async () => {
    const { log, port } = await open(echo(1));
    const first = await client(port).write('first').whenRead('first');
    const second = await client(port).whenConnected();
    const third = await client(port).whenConnected();
    second.reset();
    first.end();
    await third.write('third').whenRead('third');
    await log.whenEmitted('refused');
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['ended']);
    expect(log.refusals).toEqual(['gone']);
    expect(log.counters).toMatchObject({ waiting: 0, active: 1 });
  });

  describe('in memory', () => {
    const opened = async (
      operators: (connections: Observable<Connection>) => Observable<unknown>,
      events: NextObserver<ListenEvent>,
      options: ListenOptions = {},
    ) => {
      const clock = new Clock();
      const network = new MemoryNetwork(clock);
      operators(
        listen({ port: 0 }, { transport: network.transport, scheduler: clock, events, ...options }),
      ).subscribe();
      await clock.settle();
      return { clock, network };
    };

    it.each<['abort' | 'end']>([['abort'], ['end']])(
      'serves the next connection when an observer of the `opened` event calls %s on one',
      async (release) => {
        const log = new Log();
        const observer = {
          next(event: ListenEvent) {
            log.next(event);
            if (event.type !== 'opened' || event.id === 3) return;
            for (const connection of (log.events[0] as ListeningEvent).connections) connection[release]();
          },
        };
        const { clock, network } = await opened(
          mergeMap((connection) => connection.pipe(tap((chunk) => void connection.write(chunk))), 1),
          observer,
        );
        const clients = Array.from({ length: 3 }, () => network.connect().write('hello'));
        await clock.settle();
        for (const one of clients) one.end();
        await clock.settle();
        expect(clients.map(({ text }) => text)).toEqual(['', '', 'hello']);
        expect(log.counters).toEqual({ accepted: 3, waiting: 0, active: 0, closed: 3, refused: 0 });
      },
    );

    it.each<[string, (connection: Connection) => void]>([
      ['aborts it', (connection) => connection.abort()],
      ['writes to it and ends it', (connection) => void connection.write('not you').finally(() => connection.end())],
      ['ends it', (connection) => connection.end()],
    ])(
      'hands out the next connection when an operator gets one and %s without subscribing to it',
      async (_what, release) => {
        const log = new Log();
        const { clock, network } = await opened(
          mergeMap((connection) => {
            if (connection.id % 2 === 0) return connection.pipe(connection.send());
            release(connection);
            return EMPTY;
          }, 5),
          log,
          { farewell: 'bye' },
        );
        const clients = Array.from({ length: 6 }, () => network.connect().write('hello'));
        await clock.settle();
        expect(log.of('opened').map(({ id }) => id)).toEqual([2, 4, 6]);
        expect(log.refusals).toEqual(['unwanted', 'unwanted', 'unwanted']);
        expect(log.counters).toEqual({ accepted: 6, waiting: 0, active: 3, closed: 0, refused: 3 });
        for (const one of clients) one.end();
        await clock.advance(10_000);
        expect(clients.map(({ over }) => over)).toEqual([true, true, true, true, true, true]);
        expect(clients.filter((_, index) => index % 2 === 1).map(({ text }) => text)).toEqual([
          'hello',
          'hello',
          'hello',
        ]);
        expect([network.sockets.size, clock.actions]).toEqual([0, []]);
      },
    );

    it('does not serve a connection that it refuses, though an observer of the event frees a slot at once', async () => {
      const log = new Log();
      const refusals = new Subject<ListenEvent>();
      const { clock, network } = await opened(
        mergeMap((connection) => connection.pipe(takeUntil(refusals)), 1),
        {
          next(event) {
            log.next(event);
            if (event.type === 'refused') refusals.next(event);
          },
        },
        { waiting: { timeout: 10 } },
      );
      network.connect();
      network.connect();
      await clock.advance(100);
      expect(log.refusals).toEqual(['timeout']);
      expect(log.counters).toMatchObject({ accepted: 2, waiting: 0, refused: 1 });
      expect(log.of('opened').map(({ id }) => id)).toEqual([1]);
    });

    it.each<[string, (connection: Connection) => void]>([
      ['refuses', (connection) => connection.refuse()],
      ['subscribes to by itself', (connection) => connection.subscribe()],
    ])(
      // ReactiveX/rxjs#7334: mergeMap may stop for ever when queued inner streams complete while it subscribes to them.
      'continues after thousands of waiting connections, each of which the handler %s and completes at once',
      async (_what, see) => {
        const log = new Log();
        const { clock, network } = await opened(
          mergeMap((connection) => {
            if (connection.id === 1) return connection.pipe(connection.send());
            see(connection);
            return EMPTY;
          }, 1),
          log,
          { waiting: { max: 5000 } },
        );
        const first = network.connect();
        for (let others = 0; others < 5000; others++) network.connect().end();
        await clock.settle();
        expect(log.counters).toMatchObject({ waiting: 5000, active: 1 });
        first.end();
        await clock.settle();
        expect(log.counters).toMatchObject({ waiting: 0, active: 0 });
        network.connect();
        await clock.settle();
        expect(log.counters.accepted).toBe(5002);
      },
    );

    it('continues to count and to serve when an observer of its events throws', async () => {
      const faults: unknown[] = [];
      config.onUnhandledError = (error) => faults.push(error);
      let counters: Counters | undefined;
      const { clock, network } = await opened(
        mergeMap((connection) => connection.pipe(connection.send()), 1),
        {
          next(event) {
            if (event.type === 'listening') ({ counters } = event);
            throw new Error(event.type);
          },
        },
      );
      const clients = Array.from({ length: 3 }, () => network.connect().write('hello').end());
      await clock.settle();
      expect(clients.map(({ text }) => text)).toEqual(['hello', 'hello', 'hello']);
      expect(counters).toEqual({ accepted: 3, waiting: 0, active: 0, closed: 3, refused: 0 });
      await new Promise((resolve) => setTimeout(resolve));
      config.onUnhandledError = null;
      expect(faults).toHaveLength(7);
    });
  });

  it('is a server with a limit, a shutdown, a deadline, framing and error handling when it is piped through operators', async () => {
    const shutdown = new Subject<void>();
    const { log, port } = await open((connections) =>
      connections.pipe(
        takeUntil(shutdown),
        mergeMap(
          (connection) =>
            connection.pipe(
              idle(30_000),
              lines({ maxLength: 64 * 1024 }),
              map((line) => encodeLine(line.toUpperCase())),
              connection.send(),
              catchError(() => EMPTY),
            ),
          1000,
        ),
      ),
    );
    const one = client(port);
    await one.write('hello\nwor').whenRead('HELLO\n');
    await one.write('ld\n').whenRead('WORLD\n');
    const long = client(port).write('x'.repeat(64 * 1024 + 1));
    await long.whenClosed();
    expect(long.fault).toBeUndefined();
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['frame-too-long']);
    shutdown.next();
    expect(log.completed).toBe(false);
    one.end();
    await log.whenCompleted();
    expect(log.fault).toBeUndefined();
    expect((await client(port).whenClosed()).fault).toBe('ECONNREFUSED');
  });

  it('refuses connections that wait, and keeps those that were subscribed to, when it is unsubscribed', async () => {
    const kept = new Set<Connection>();
    const { log, port } = await open(
      (connections) =>
        connections.pipe(
          filter((connection) => {
            if (kept.size > 0) return true;
            kept.add(connection);
            connection.pipe(connection.send()).subscribe();
            return false;
          }),
          // Drops every other connection.
          filter(() => false),
        ),
      { waiting: { max: 2 } },
    );
    const first = await client(port).write('one').whenRead('one');
    const [waits, alsoWaits] = [client(port), client(port)];
    await Promise.all([waits.whenConnected(), alsoWaits.whenConnected()]);
    // A client is connected when the kernel has completed the connection. A fourth one that is refused as `full` shows that the
    // server has accepted these two.
    client(port);
    await log.whenEmitted('refused');
    log.subscription?.unsubscribe();
    await Promise.all([waits.whenClosed(), alsoWaits.whenClosed()]);
    await first.write('two').whenRead('onetwo');
    first.end();
    await log.whenEmitted('closed');
    expect(log.refusals).toEqual(['full', 'draining', 'draining']);
  });

  describe('validates on call', () => {
    it.each([
      [HERE, { backlogg: 1 }, TypeError, "options: there is no option 'backlogg'"],
      [
        HERE,
        { overflow: 'drop' },
        TypeError,
        "overflow must be 'refuse', 'park', 'evict' or { evict: compare }, not 'drop'",
      ],
      [HERE, { overflow: { evict: 1 } }, TypeError, 'overflow.evict must be a function, not 1'],
      [HERE, { overflow: {} }, TypeError, 'overflow.evict must be given'],
      [
        HERE,
        { allow: '10.0.0.0/8' },
        TypeError,
        "allow must be a list of IP addresses, networks such as 10.0.0.0/8, and 'unix', not '10.0.0.0/8', nor an Observable",
      ],
      [
        HERE,
        { deny: ['10.0.0.0/33'] },
        RangeError,
        "deny must have a length from 0 to 32 after the slash of 10.0.0.0, not '33'",
      ],
      [
        HERE,
        { perAddress: { connections: 0 } },
        RangeError,
        'perAddress.connections must be a whole number of 1 or more, or Infinity for no limit, not 0',
      ],
      [
        HERE,
        { perAddress: { prefix: { 6: 129 } } },
        RangeError,
        'perAddress.prefix.6 must be a whole number from 1 to 128, not 129',
      ],
      [
        HERE,
        { accepts: { perSecond: -1 } },
        RangeError,
        'accepts.perSecond must be a number a second, 0 or more, not -1',
      ],
      [HERE, { accepts: { perAddress: {} } }, TypeError, 'accepts.perAddress.perSecond must be given'],
      [
        HERE,
        { waiting: { order: 'lifo' } },
        TypeError,
        "waiting.order must be one of 'fifo', 'newest', 'adaptive', not 'lifo'",
      ],
      [HERE, { admit: true }, TypeError, 'admit must be a function, not true'],
      [HERE, { waiting: { max: -1 } }, RangeError, 'waiting.max must be a whole number of 0 or more, not -1'],
      [
        HERE,
        { waiting: { time: 1 } },
        TypeError,
        "waiting: there is no option 'time'; the options are max, timeout, order",
      ],
      [HERE, { ahead: 0 }, RangeError, 'ahead must be a whole number of 1 or more, not 0'],
      [HERE, { farewell: 7 }, TypeError, 'farewell must be a string, a Uint8Array or a function, not 7'],
      [HERE, { keepAlive: true }, TypeError, 'keepAlive must be milliseconds, 0 or more, not true'],
      [HERE, { scheduler: {} }, TypeError, 'scheduler must be a SchedulerLike, not {}'],
      [HERE, null, TypeError, 'options must be an object, not null'],
      [{ port: 70_000 }, {}, RangeError, 'port must be a whole number from 0 to 65535, not 70000'],
      [{ port: '80' }, {}, TypeError, "port must be a whole number from 0 to 65535, not '80'"],
      [{ port: undefined }, {}, TypeError, 'port is undefined'],
      [{ port: 0, path: '/p' }, {}, TypeError, "where: there is no option 'path'"],
      [{ path: '' }, {}, TypeError, 'path must be a string that is not empty'],
      [{ path: '/tmp/a\0b' }, {}, TypeError, "path must have no NUL byte but the first, not '/tmp/a\\x00b'"],
      [{ path: 'x'.repeat(108) }, {}, RangeError, `path must have at most ${PATH} bytes in UTF-8, not 108`],
      [{ path: `\0${'é'.repeat(54)}` }, {}, RangeError, `path must have at most ${PATH} bytes in UTF-8, not 109`],
      [{ fd: -1 }, {}, RangeError, 'fd must be a whole number of 0 or more, not -1'],
      [{}, {}, TypeError, 'where must have a port, a path or an fd'],
      [7000, {}, TypeError, 'where must have a port, a path or an fd'],
      [undefined, {}, TypeError, 'where must have a port, a path or an fd'],
    ])('refuses %o with %o', (where, options, kind, message) => {
      const open = () => listen(where as never, options as never);
      expect(open).toThrow(kind);
      expect(open).toThrow(`Cannot listen: ${message}`);
    });
  });
});
