import {
  catchError,
  concatMap,
  EMPTY,
  firstValueFrom,
  ignoreElements,
  map,
  mergeMap,
  Observable,
  of,
  repeat,
  retry,
  tap,
  timer,
  toArray,
} from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import { type ConnectOptions, connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import { DeadlineError } from '../../lib/errors.ts';
import { lines } from '../../lib/framing/lines.ts';
import { listen } from '../../lib/listen/listen.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { internalsOf } from '../support/internals.ts';
import { marbles } from '../support/marbles.ts';

interface At {
  readonly clock: TestScheduler;
  readonly network: MemoryNetwork;
  readonly log: (what: unknown) => void;
  readonly at: (ms: number, work: () => void) => void;
  /** Opens the port. Returns a function that closes it. */
  readonly open: (handler: (connection: Connection) => Observable<unknown>) => () => void;
  readonly dial: (options?: ConnectOptions) => Observable<Connection>;
}

/** Runs a test with a network in memory on virtual time. Returns what it logged, each line with its time. */
function run(test: (at: At) => void): { entries: string[]; network: MemoryNetwork } {
  const entries: string[] = [];
  let made: MemoryNetwork | undefined;
  marbles(({ clock, flush }) => {
    const network = new MemoryNetwork(clock);
    made = network;
    const seams = { transport: network.transport, scheduler: clock };
    test({
      clock,
      network,
      log: (what) => entries.push(`${clock.now()} ${what}`),
      at: (ms, work) => void clock.schedule(work, ms),
      open: (handler) => {
        const port = listen({ port: 0 }, seams).pipe(
          mergeMap((connection) => handler(connection).pipe(catchError(() => EMPTY))),
        );
        const subscription = port.subscribe();
        return () => subscription.unsubscribe();
      },
      dial: (options) => connect({ port: 1 }, { ...seams, ...options }),
    });
    flush();
  })();
  return { entries, network: made as MemoryNetwork };
}

const logged = (log: At['log']) => ({
  next: (connection: Connection) => log(`connection ${connection.id}`),
  error: (error: unknown) => log(error instanceof Error ? error.message : error),
  complete: () => log('complete'),
});

const echo = (connection: Connection) => connection.pipe(connection.send());

const shout = (connection: Connection) =>
  connection.pipe(
    lines(),
    map((line) => `${line.toUpperCase()}\n`),
    connection.send(),
  );

describe('connect', () => {
  it('does nothing before it is subscribed to, and makes a connection for each subscription', () => {
    const { entries, network } = run(({ open, dial, log, at }) => {
      open((connection) => {
        log(`accepted ${connection.peer.port}`);
        return echo(connection);
      });
      const connections = dial();
      at(5, () => log('nothing yet'));
      for (const ms of [10, 20]) {
        at(ms, () =>
          connections
            .pipe(
              tap((connection) => {
                connection.subscribe();
                connection.end();
              }),
            )
            .subscribe(logged(log)),
        );
      }
    });
    expect(entries).toEqual([
      '5 nothing yet',
      '10 connection 1',
      '10 accepted 49152',
      '10 complete',
      '20 connection 2',
      '20 accepted 49153',
      '20 complete',
    ]);
    expect(network.sockets.size).toBe(0);
  });

  it('emits a Connection like those of listen: bytes in both directions, addresses, figures', () => {
    const { entries } = run(({ open, dial, log }) => {
      open(shout);
      dial().subscribe((connection) => {
        log(`${connection.local.port} to ${connection.peer.address}`);
        connection.pipe(lines()).subscribe({ next: log, complete: () => log('end of input') });
        connection.closed.subscribe(({ reason, bytesIn, bytesOut }) => log(`${reason} ${bytesIn} ${bytesOut}`));
        void connection.write('hello\n');
        void connection.write('you\n');
        connection.halfClose();
      });
    });
    expect(entries).toEqual(['0 49152 to memory', '0 HELLO', '0 YOU', '0 end of input', '0 ended 10 10']);
  });

  it('reads nothing before the connection is subscribed to', () => {
    const { entries } = run(({ open, dial, log, at }) => {
      open((connection) => of('early').pipe(connection.send()));
      dial().subscribe((connection) => {
        at(5, () => log(connection.bytesIn));
        at(6, () => connection.subscribe((chunk) => log(Buffer.from(chunk))));
      });
    });
    expect(entries).toEqual(['5 0', '6 early']);
  });

  it("errors with the network's own error if the port is not open", () => {
    const { entries } = run(({ dial, log }) => dial().subscribe(logged(log)));
    expect(entries).toEqual(['0 connect ECONNREFUSED memory']);
  });

  it.each([
    [undefined, ['5000 Cannot wait longer: the connect deadline of 5000 ms is over']],
    [30, ['30 Cannot wait longer: the connect deadline of 30 ms is over']],
    [Number.POSITIVE_INFINITY, []],
  ])('errors if the server does not answer in time: timeout %s', (timeout, expected) => {
    const { entries, network } = run(({ network, open, dial, log }) => {
      open(echo);
      network.answers = false;
      dial(timeout === undefined ? {} : { timeout }).subscribe({
        ...logged(log),
        error: (error) => {
          expect(error).toBeInstanceOf(DeadlineError);
          expect(error.deadline).toBe('connect');
          log(error.message);
        },
      });
    });
    expect(entries).toEqual(expected);
    expect(network.sockets.size).toBe(0);
  });

  it('has no deadline after it is connected', () => {
    const { entries } = run(({ open, dial, log, at }) => {
      open(echo);
      dial({ timeout: 10 }).subscribe((connection) => {
        connection.subscribe();
        at(100, () => log(connection.bytesIn));
        at(50, () => connection.write('x'));
      });
    });
    expect(entries).toEqual(['100 1']);
  });

  it('cancels the connect when it is unsubscribed before it is connected', () => {
    const { entries, network } = run(({ open, dial, log }) => {
      open((connection) => {
        log('accepted');
        return echo(connection);
      });
      dial().subscribe(logged(log)).unsubscribe();
    });
    expect(entries).toEqual([]);
    expect(network.sockets.size).toBe(0);
  });

  it('leaves the connection open when it is unsubscribed later', async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const seams = { transport: network.transport, scheduler: clock };
    listen({ port: 0 }, seams).pipe(mergeMap(shout)).subscribe();
    const first = firstValueFrom(connect({ port: 1 }, seams));
    await clock.settle();
    const connection = await first;
    const reply = firstValueFrom(connection.pipe(lines(), toArray()));
    void connection.write('still here\n');
    connection.halfClose();
    await clock.settle();
    expect(await reply).toEqual(['STILL HERE']);
    expect(network.sockets.size).toBe(0);
  });

  it('completes when the connection is closed, for whatever reason; only its bytes error', () => {
    const { entries, network } = run(({ open, dial, log, at }) => {
      open((connection) => {
        at(5, () => connection.abort());
        return echo(connection);
      });
      dial()
        .pipe(tap((connection) => connection.subscribe({ error: ({ name, reason }) => log(`${name} ${reason}`) })))
        .subscribe(logged(log));
    });
    expect(entries).toEqual(['0 connection 1', '5 ConnectionClosedError reset', '5 complete']);
    expect(network.sockets.size).toBe(0);
  });

  it('completes when the connection is refused', () => {
    const { entries, network } = run(({ open, dial, log }) => {
      open(echo);
      dial()
        .pipe(tap((connection) => connection.refuse('no use for it')))
        .subscribe(logged(log));
    });
    expect(entries).toEqual(['0 connection 1', '0 complete']);
    expect(network.sockets.size).toBe(0);
  });

  it('connects again by retry, with backoff, and by repeat', () => {
    const { entries, network } = run(({ open, dial, log, at }) => {
      const attempts = new Observable<Connection>((to) => {
        log('dials');
        return dial().subscribe(to);
      });
      attempts
        .pipe(
          mergeMap((connection) => connection.pipe(lines(), tap(log), ignoreElements())),
          retry({ delay: (_error, n) => timer(2 ** n * 10), resetOnSuccess: true }),
          repeat({ delay: 100, count: 2 }),
        )
        .subscribe({ complete: () => log('complete') });
      // Connects at 0, 20, 60 and 140 ms.
      at(100, () => open((connection) => of('welcome\n').pipe(connection.send())));
    });
    expect(entries).toEqual([
      '0 dials',
      '20 dials',
      '60 dials',
      '140 dials',
      '140 welcome',
      '240 dials',
      '240 welcome',
      '240 complete',
    ]);
    expect(network.sockets.size).toBe(0);
  });

  it('is congested while the server does not read', () => {
    const { entries } = run(({ open, dial, log, at }) => {
      open((connection) => {
        at(10, () => log(`server has read ${connection.bytesIn}`));
        // Reads from 20 ms on.
        return timer(20).pipe(
          concatMap(() =>
            connection.pipe(
              tap(() => undefined),
              ignoreElements(),
            ),
          ),
        );
      });
      dial({ highWaterMark: 1000 }).subscribe((connection) => {
        connection.subscribe();
        void connection.write('x'.repeat(100_000)).then(() => undefined);
        at(10, () => log(`${internalsOf(connection).congested} ${connection.unsent}`));
        at(30, () => log(`${internalsOf(connection).congested} ${connection.unsent}`));
      });
    });
    expect(entries).toEqual([`10 true ${100_000 - 65_536}`, '10 server has read 0', '30 false 0']);
  });

  it('closes a connection whose server reads nothing for too long', () => {
    const { entries } = run(({ open, dial, log }) => {
      open(() => timer(1_000_000));
      dial({ stall: 700 }).subscribe((connection) => {
        connection.subscribe({ error: () => undefined });
        connection.closed.subscribe(({ reason, deadline }) => log(`${reason} ${deadline}`));
        void connection.write('x'.repeat(100_000));
      });
    });
    expect(entries).toEqual(['700 slow-consumer stall']);
  });

  it.each([
    [[{ port: 0 }], RangeError, 'Cannot connect: port must be a whole number from 1 to 65535, not 0'],
    [[{ port: undefined }], TypeError, 'Cannot connect: port is undefined'],
    [[{}], TypeError, 'Cannot connect: where must have a port or a path'],
    [[{ path: '' }], TypeError, 'Cannot connect: path must be a string that is not empty'],
    [[{ path: 'é'.repeat(54) }], RangeError, /^Cannot connect: path must have at most 10[37] bytes in UTF-8, not 108$/],
    [[{ port: 1, ipv6Only: true }], TypeError, 'Cannot connect: where: there is no option'],
    [
      [{ port: 1 }, { timeout: 0 }],
      RangeError,
      'timeout must be more than 0 milliseconds, or Infinity for no limit, not 0',
    ],
    [[{ port: 1 }, { backlog: 5 }], TypeError, 'Cannot connect: options: there is no option'],
    [[{ port: 1 }, { transport: { listen() {} } }], TypeError, 'must be a Transport that connects'],
  ])('rejects %j on call', (args, Failure, message) => {
    const bad = () => (connect as (...args: unknown[]) => unknown)(...args);
    expect(bad).toThrow(Failure);
    expect(bad).toThrow(message);
  });
});
