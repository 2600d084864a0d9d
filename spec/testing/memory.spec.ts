import { config, map, mergeMap } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { type Connection, encodeLine, exchange, type Handler, lines, serve } from '../../lib/index.ts';
import { type MemoryClient, type MemoryClientOptions, MemoryNetwork } from '../../lib/testing/index.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { TransportSocket } from '../../lib/transport/transport.ts';
import { marbles } from '../support/marbles.ts';

const OPTIONS = { backlog: 1, noDelay: true, keepAlive: false } as const;

interface At {
  readonly network: MemoryNetwork;
  readonly client: MemoryClient;
  readonly socket: TransportSocket;
  readonly at: (ms: number, work: () => void) => void;
}

/** A client and its socket on virtual time. Returns the notifications of the socket's handler, each with its time. */
function run(
  options: MemoryClientOptions,
  test: (at: At) => void,
): { notified: string[]; client: MemoryClient; network: MemoryNetwork } {
  const notified: string[] = [];
  const made: { client?: MemoryClient; network?: MemoryNetwork } = {};
  marbles(({ clock, flush }) => {
    const network = new MemoryNetwork(clock);
    const note = (what: string) => notified.push(`${clock.now()} ${what}`);
    network.transport.listen({ port: 0 }, OPTIONS, {
      listening: () => note('listening'),
      error: (error) => note(error.message),
      accepted: (socket) => {
        socket.handler = {
          received: (chunk) => note(`received ${Buffer.from(chunk)}`),
          peerEnded: () => note('peerEnded'),
          writable: () => note('writable'),
          finished: () => note('finished'),
          writeFailed: (error) => note(`writeFailed ${(error as NodeJS.ErrnoException).code}`),
          failed: (error) => note(`failed ${(error as NodeJS.ErrnoException).code}`),
          freed: () => note('freed'),
        };
        test({ network, client, socket, at: (ms, work) => void clock.schedule(work, ms) });
      },
    });
    const client = network.connect(options);
    Object.assign(made, { client, network });
    flush();
  })();
  const { client, network } = made;
  if (client === undefined || network === undefined) throw new Error('nothing was made');
  return { notified: notified.slice(1), client, network };
}

describe('MemoryNetwork', () => {
  it.each([{}, null, 5, () => {}])('cannot be made with %o instead of a scheduler', (scheduler) => {
    expect(() => new MemoryNetwork(scheduler as never)).toThrow(
      'Cannot make a network: scheduler must be a SchedulerLike',
    );
  });

  it('delivers bytes in order in both directions, and frees the socket when both ends have sent a FIN', () => {
    const { notified, client, network } = run({}, ({ client, socket, at }) => {
      socket.resume();
      client.write('a').write('b').end();
      at(5, () => {
        socket.write(['c', Buffer.from('d')]);
        socket.end();
      });
    });
    expect(notified).toEqual(['0 received a', '0 received b', '0 peerEnded', '5 finished', '5 freed']);
    expect([client.text, client.ended, client.reset, network.sockets.size]).toEqual(['cd', true, false, 0]);
  });

  it('delivers neither bytes nor a FIN while the socket is paused', () => {
    const { notified } = run({}, ({ client, socket, at }) => {
      client.write('a').end();
      at(5, () => socket.resume());
      at(9, () => socket.reset());
    });
    expect(notified).toEqual(['5 received a', '5 peerEnded', '9 freed']);
  });

  it('takes as much as the window has room for while the client is paused, and the rest when it resumes', () => {
    const { notified, client } = run({ window: 3 }, ({ client, socket, at }) => {
      client.pause();
      expect(socket.write('12345678')).toBe(false);
      expect([socket.pending, socket.bytesWritten]).toEqual([5, 8]);
      at(1, () => client.resume().pause());
      at(2, () => expect(socket.pending).toBe(2));
      at(3, () => client.resume());
      at(4, () => socket.reset());
    });
    expect(notified).toEqual(['3 writable', '4 freed']);
    expect([client.text, client.reset]).toEqual(['12345678', true]);
  });

  it('sends a FIN after the bytes that are queued', () => {
    const { notified, client } = run({ window: 3 }, ({ client, socket, at }) => {
      client.pause().end();
      socket.resume();
      socket.write('12345');
      socket.end();
      at(3, () => client.resume());
    });
    expect(notified).toEqual(['0 peerEnded', '3 writable', '3 finished', '3 freed']);
    expect(client.text).toBe('12345');
  });

  it.each([
    ['a FIN', 'all received bytes were read', true],
    ['a RST', 'received bytes were not read', false],
  ])('destroy sends %s if %s, as a kernel does', (_how, _when, reads) => {
    const { notified, client, network } = run({}, ({ client, socket, at }) => {
      if (reads) socket.resume();
      client.write('a');
      at(5, () => socket.destroy());
    });
    expect(notified.at(-1)).toBe('5 freed');
    expect([client.ended, client.reset, network.sockets.size]).toEqual([reads, !reads, 0]);
  });

  it('answers bytes that are sent to a closed socket with a RST', () => {
    const { client } = run({}, ({ client, socket, at }) => {
      at(1, () => socket.destroy());
      at(5, () => client.write('hello?'));
    });
    expect([client.ended, client.reset]).toEqual([true, true]);
  });

  // nodejs/node#31106, nodejs/node#40691, nodejs/node#46015
  it('does not notice a RST while the socket neither reads nor writes', () => {
    const { notified } = run({}, ({ client, socket, at }) => {
      client.break();
      at(5, () => socket.resume());
    });
    expect(notified).toEqual(['5 failed ECONNRESET', '5 freed']);
  });

  it('notices a RST when the socket writes', () => {
    const { notified } = run({}, ({ client, socket, at }) => {
      client.break();
      at(5, () => socket.write('hello?'));
      at(6, () => socket.destroy());
    });
    expect(notified).toEqual(['5 writeFailed EPIPE', '6 freed']);
  });

  it('delivers the bytes that were sent before a RST, even after a write has failed', () => {
    const { notified } = run({}, ({ client, socket, at }) => {
      client.write('last words').break();
      at(5, () => socket.write('a request'));
      at(6, () => socket.resume());
    });
    expect(notified).toEqual(['5 writeFailed EPIPE', '6 received last words', '6 failed ECONNRESET', '6 freed']);
  });

  it('fails a write in flight when the client sends a RST, and reports the unsent bytes', () => {
    const unsent: number[] = [];
    const { notified } = run({ window: 4 }, ({ client, socket, at }) => {
      client.pause();
      at(1, () => socket.write('a request'));
      at(2, () => client.break());
      at(3, () => unsent.push(socket.pending));
      at(4, () => socket.destroy());
    });
    expect(notified).toEqual(['2 writeFailed ECONNRESET', '4 freed']);
    expect(unsent).toEqual([5]);
  });

  it('overwrites a chunk after the call that delivers it', () => {
    const chunks: Uint8Array[] = [];
    run({}, ({ client, socket, at }) => {
      Object.assign(socket.handler, { received: (chunk: Uint8Array) => chunks.push(chunk) });
      socket.resume();
      client.write('secret');
      at(5, () => socket.reset());
    });
    expect(chunks.map((chunk) => Buffer.from(chunk).toString('hex'))).toEqual(['aaaaaaaaaaaa']);
  });

  it('resets a client that connects to a closed port, and rejects a second listener', () => {
    const notified: string[] = [];
    let client: MemoryClient | undefined;
    marbles(({ clock, flush }) => {
      const network = new MemoryNetwork(clock);
      const handler = {
        listening: () => notified.push('listening'),
        accepted() {},
        error: (error: NodeJS.ErrnoException) => notified.push(String(error.code)),
      };
      const first = network.transport.listen({ port: 0 }, OPTIONS, handler);
      network.transport.listen({ port: 0 }, OPTIONS, handler);
      flush();
      first.close();
      client = network.connect();
      flush();
    })();
    expect(notified).toEqual(['listening', 'EADDRINUSE']);
    expect([client?.reset, client?.over]).toEqual([true, true]);
  });

  it(
    'emits `listening` before it accepts a client that connected before `listen` was called',
    marbles(({ clock, expectObservable }) => {
      const network = new MemoryNetwork(clock);
      const { transport } = network;
      const events = serve({ port: 0 }, lines(), { transport, scheduler: clock }).pipe(map(({ type }) => type));
      expectObservable(events, '^!').toBe('(lo)', { l: 'listening', o: 'opened' });
      network.connect();
    }),
  );

  it('resets a connected socket if the port closes before it is accepted', () => {
    const notified: string[] = [];
    marbles(({ clock, flush }) => {
      const network = new MemoryNetwork(clock);
      const port = network.transport.listen({ port: 0 }, OPTIONS, {
        listening() {},
        accepted: () => notified.push('accepted'),
        error() {},
      });
      network.transport.connect?.({ port: 0 }, OPTIONS, {
        connected: (socket) => {
          socket.handler = {
            ...NO_HANDLER,
            peerEnded: () => notified.push('peerEnded'),
            failed: (error) => notified.push(`failed ${(error as NodeJS.ErrnoException).code}`),
            freed: () => notified.push(`freed, ${network.sockets.size} left`),
          };
          socket.resume();
          port.close();
        },
        failed: (error) => notified.push(error.message),
      });
      flush();
    })();
    expect(notified).toEqual(['failed ECONNRESET', 'freed, 0 left']);
  });

  it('yields to the event loop while 20 000 clients send a FIN', async () => {
    // The first FIN takes longer than a time slice on any machine, so that the rest cannot fit into the same one.
    const busyFor = (ms: number) => {
      const until = performance.now() + ms;
      while (performance.now() < until);
    };
    const network = new MemoryNetwork();
    let left = 0;
    const handler = {
      listening() {},
      error() {},
      accepted: (socket: TransportSocket) => {
        socket.handler = { ...NO_HANDLER, peerEnded: () => (left++ === 0 ? busyFor(20) : undefined) };
        socket.resume();
      },
    };
    network.transport.listen({ port: 0 }, OPTIONS, handler);
    const clients = Array.from({ length: 20_000 }, () => network.connect());
    while (network.sockets.size < 20_000) await new Promise((resolve) => setImmediate(resolve));
    for (const client of clients) client.end();
    let iterations = 0;
    for (; left < 20_000; iterations++) await new Promise((resolve) => setImmediate(resolve));
    expect(left).toBe(20_000);
    expect(iterations).toBeGreaterThan(1);
  });
});

describe('MemoryClient', () => {
  it.each([
    ['answers a FIN with its own', {}, ['0 finished', '0 peerEnded', '0 freed']],
    ['does not answer a FIN if it allows half-open connections', { allowHalfOpen: true }, ['0 finished']],
  ])('%s', (_what, options, expected) => {
    const { notified } = run(options, ({ socket }) => {
      socket.resume();
      socket.end();
    });
    expect(notified).toEqual(expected);
  });

  it('answers a FIN when it resumes', () => {
    const { notified } = run({}, ({ client, socket, at }) => {
      client.pause();
      socket.resume();
      socket.end();
      at(3, () => client.resume());
    });
    expect(notified).toEqual(['0 finished', '3 peerEnded', '3 freed']);
  });

  it.each([
    ['the FIN', (socket: TransportSocket) => socket.end(), 'completed'],
    ['a RST', (socket: TransportSocket) => socket.reset(), 'ECONNRESET'],
  ])('emits everything received to each subscriber, and once, up to %s', (_what, end, over) => {
    const early: string[] = [];
    const late: string[] = [];
    const follow = (client: MemoryClient, into: string[]) =>
      client.received.subscribe({
        next: (chunk) => into.push(Buffer.from(chunk).toString()),
        error: (error) => into.push(error.code),
        complete: () => into.push('completed'),
      });
    run({}, ({ client, socket, at }) => {
      socket.resume();
      follow(client, early);
      socket.write('a');
      // A subscriber that is added while a chunk is in flight receives it once, too.
      follow(client, late);
      at(1, () => socket.write('b'));
      at(2, () => end(socket));
      at(3, () => follow(client, late));
    });
    expect(early).toEqual(['a', 'b', over]);
    expect(late).toEqual(['a', 'b', over, 'a', 'b', over]);
  });

  it(
    'plays marbles, and emits what it receives in whole characters',
    marbles(({ clock, cold, expectObservable }) => {
      const network = new MemoryNetwork(clock);
      const echo = (connection: Connection) => connection.pipe(map((bytes) => bytes));
      serve({ port: 0 }, echo, { transport: network.transport, scheduler: clock, idle: 5 }).subscribe();
      const [first, second] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)];
      const values = { a: 'a', x: first, y: second };
      expectObservable(network.connect().play(cold('a--x--y-|', values))).toBe('a-----é-|', { a: 'a', é: 'é' });
      expectObservable(network.connect().play(cold('a-------a', values))).toBe('a----|', values);
      expectObservable(network.connect().play(cold('--#'))).toBe('--|');
    }),
  );
});

describe('a promise under a TestScheduler', () => {
  afterEach(() => {
    config.onUnhandledError = null;
  });

  const NEVER = Number.POSITIVE_INFINITY;
  const NO_DEADLINES = {
    idle: NEVER,
    greeting: NEVER,
    stall: NEVER,
    frame: NEVER,
    keepAlive: false,
  } as const;

  function serveIn(clock: TestScheduler, handler: Handler): MemoryClient {
    const network = new MemoryNetwork(clock);
    serve({ port: 0 }, handler, { ...NO_DEADLINES, transport: network.transport, scheduler: clock }).subscribe();
    return network.connect().write('hello\n');
  }

  it.each<[string, Handler]>([
    ['an async function', async () => 'late'],
    ['an async generator', async function* () {}],
    ['a request', exchange(lines(), async (line) => line)],
    ['a request with an async generator', exchange(lines(), async function* () {})],
  ])('makes the run fail with the reason: %s', (_what, handler) => {
    const test = marbles(({ clock }) => void serveIn(clock, handler));
    expect(test).toThrow(/^Cannot wait for a promise in the run of a TestScheduler: .*new MemoryNetwork\(\)/);
  });

  it('inside a pipe is reported as unhandled, and fails `received`', async () => {
    const errors: string[] = [];
    config.onUnhandledError = (error) => errors.push(error.message);
    const received: string[] = [];
    marbles(({ clock }) => {
      const late: Handler = (connection) => connection.pipe(mergeMap(async () => 'late'));
      serveIn(clock, late).received.subscribe({ error: (error) => received.push(error.message) });
    })();
    while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(errors).toEqual([expect.stringMatching(/^Cannot answer 127\.0\.0\.1:49152 by a promise after/)]);
    expect(received).toEqual(errors);
  });

  it('that does not exist is not reported', async () => {
    const errors: unknown[] = [];
    config.onUnhandledError = (error) => errors.push(error);
    let client: MemoryClient | undefined;
    marbles(({ clock }) => {
      client = serveIn(clock, (connection) => connection.pipe(lines(), map(encodeLine)));
    })();
    for (let iterations = 0; iterations < 10; iterations++) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([client?.text, errors]).toEqual(['hello\n', []]);
  });
});
