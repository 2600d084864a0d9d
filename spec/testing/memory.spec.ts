import { config, map, mergeMap } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { type Connection, encodeLine, exchange, type Handler, lines, serve } from '../../lib/index.ts';
import { type MemoryClient, type MemoryClientOptions, MemoryNetwork } from '../../lib/testing/index.ts';
import type { TransportSocket } from '../../lib/transport/transport.ts';
import { marbles } from '../support/marbles.ts';

const HOW = { backlog: 1, noDelay: true, keepAlive: false } as const;

interface At {
  readonly network: MemoryNetwork;
  readonly client: MemoryClient;
  readonly socket: TransportSocket;
  readonly at: (ms: number, work: () => void) => void;
}

/** A client and its socket on virtual time; returns what the socket heard, each with its time. */
function run(
  options: MemoryClientOptions,
  test: (at: At) => void,
): { heard: string[]; client: MemoryClient; network: MemoryNetwork } {
  const heard: string[] = [];
  const made: { client?: MemoryClient; network?: MemoryNetwork } = {};
  marbles(({ clock, flush }) => {
    const network = new MemoryNetwork(clock);
    const say = (what: string) => heard.push(`${clock.now()} ${what}`);
    network.transport.listen({ port: 0 }, HOW, {
      listening: () => say('listening'),
      error: (error) => say(error.message),
      accepted: (socket) => {
        socket.handler = {
          received: (chunk) => say(`received ${Buffer.from(chunk)}`),
          peerEnded: () => say('peerEnded'),
          writable: () => say('drained'),
          finished: () => say('finished'),
          writeFailed: (error) => say(`writeFailed ${(error as NodeJS.ErrnoException).code}`),
          failed: (error) => say(`broken ${(error as NodeJS.ErrnoException).code}`),
          freed: () => say('freed'),
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
  return { heard: heard.slice(1), client, network };
}

describe('MemoryNetwork', () => {
  it('delivers in order, both ways, and frees the socket when both have ended', () => {
    const { heard, client, network } = run({}, ({ client, socket, at }) => {
      socket.resume();
      client.write('a').write('b').end();
      at(5, () => {
        socket.write(['c', Buffer.from('d')]);
        socket.end();
      });
    });
    expect(heard).toEqual(['0 received a', '0 received b', '0 peerEnded', '5 finished', '5 freed']);
    expect([client.text, client.ended, client.reset, network.sockets.size]).toEqual(['cd', true, false, 0]);
  });

  it('reads nothing while it is paused, the FIN included', () => {
    const { heard } = run({}, ({ client, socket, at }) => {
      client.write('a').end();
      at(5, () => socket.resume());
      at(9, () => socket.reset());
    });
    expect(heard).toEqual(['5 received a', '5 peerEnded', '9 freed']);
  });

  it('takes what its window holds while the client does not read, and the rest when it does', () => {
    const { heard, client } = run({ window: 3 }, ({ client, socket, at }) => {
      client.pause();
      expect(socket.write('12345678')).toBe(false);
      expect([socket.pending, socket.bytesWritten]).toEqual([5, 8]);
      at(1, () => client.resume().pause());
      at(2, () => expect(socket.pending).toBe(2));
      at(3, () => client.resume());
      at(4, () => socket.reset());
    });
    expect(heard).toEqual(['3 drained', '4 freed']);
    expect([client.text, client.reset]).toEqual(['12345678', true]);
  });

  it('sends its FIN behind what waits', () => {
    const { heard, client } = run({ window: 3 }, ({ client, socket, at }) => {
      client.pause().end();
      socket.resume();
      socket.write('12345');
      socket.end();
      at(3, () => client.resume());
    });
    expect(heard).toEqual(['0 peerEnded', '3 drained', '3 finished', '3 freed']);
    expect(client.text).toBe('12345');
  });

  it.each([
    ['a FIN', 'what was sent has been read', true],
    ['a RST', 'something has not been read', false],
  ])('closes at once with %s where %s, as a kernel does', (_how, _when, reads) => {
    const { heard, client, network } = run({}, ({ client, socket, at }) => {
      if (reads) socket.resume();
      client.write('a');
      at(5, () => socket.destroy());
    });
    expect(heard.at(-1)).toBe('5 freed');
    expect([client.ended, client.reset, network.sockets.size]).toEqual([reads, !reads, 0]);
  });

  it('answers with a RST who goes on sending to a socket that is closed', () => {
    const { client } = run({}, ({ client, socket, at }) => {
      at(1, () => socket.destroy());
      at(5, () => client.write('anybody there?'));
    });
    expect([client.ended, client.reset]).toEqual([true, true]);
  });

  it('does not notice a RST while it neither reads nor writes [E8]', () => {
    const { heard } = run({}, ({ client, socket, at }) => {
      client.break();
      at(5, () => socket.resume());
    });
    expect(heard).toEqual(['5 broken ECONNRESET', '5 freed']);
  });

  it('notices a RST when it writes', () => {
    const { heard } = run({}, ({ client, socket, at }) => {
      client.break();
      at(5, () => socket.write('anybody there?'));
      at(6, () => socket.destroy());
    });
    expect(heard).toEqual(['5 writeFailed EPIPE', '6 freed']);
  });

  it('still reads what came before a RST when its write has failed', () => {
    const { heard } = run({}, ({ client, socket, at }) => {
      client.write('last words').break();
      at(5, () => socket.write('a request'));
      at(6, () => socket.resume());
    });
    expect(heard).toEqual(['5 writeFailed EPIPE', '6 received last words', '6 broken ECONNRESET', '6 freed']);
  });

  it('fails a write that is under way when the client breaks off, and says what did not leave', () => {
    const unsent: number[] = [];
    const { heard } = run({ window: 4 }, ({ client, socket, at }) => {
      client.pause();
      at(1, () => socket.write('a request'));
      at(2, () => client.break());
      at(3, () => unsent.push(socket.pending));
      at(4, () => socket.destroy());
    });
    expect(heard).toEqual(['2 writeFailed ECONNRESET', '4 freed']);
    expect(unsent).toEqual([5]);
  });

  it('overwrites what was read after it was handed out', () => {
    const chunks: Uint8Array[] = [];
    run({}, ({ client, socket, at }) => {
      Object.assign(socket.handler, { received: (chunk: Uint8Array) => chunks.push(chunk) });
      socket.resume();
      client.write('secret');
      at(5, () => socket.reset());
    });
    expect(chunks.map((chunk) => Buffer.from(chunk).toString('hex'))).toEqual(['aaaaaaaaaaaa']);
  });

  it('resets who connects when nobody listens, and refuses a second listener', () => {
    const heard: string[] = [];
    let client: MemoryClient | undefined;
    marbles(({ clock, flush }) => {
      const network = new MemoryNetwork(clock);
      const handler = {
        listening: () => heard.push('listening'),
        accepted() {},
        error: (error: NodeJS.ErrnoException) => heard.push(String(error.code)),
      };
      const first = network.transport.listen({ port: 0 }, HOW, handler);
      network.transport.listen({ port: 0 }, HOW, handler);
      flush();
      first.close();
      client = network.connect();
      flush();
    })();
    expect(heard).toEqual(['listening', 'EADDRINUSE']);
    expect([client?.reset, client?.over]).toEqual([true, true]);
  });

  it('resets who is connected when nobody listens any more, before he is accepted', () => {
    const heard: string[] = [];
    marbles(({ clock, flush }) => {
      const network = new MemoryNetwork(clock);
      const port = network.transport.listen({ port: 0 }, HOW, {
        listening() {},
        accepted: () => heard.push('accepted'),
        error() {},
      });
      network.transport.connect?.({ port: 0 }, HOW, {
        connected: (socket) => {
          socket.handler = {
            received() {},
            peerEnded: () => heard.push('peerEnded'),
            writable() {},
            finished() {},
            writeFailed() {},
            failed: (error) => heard.push(`broken ${(error as NodeJS.ErrnoException).code}`),
            freed: () => heard.push(`freed, ${network.sockets.size} left`),
          };
          socket.resume();
          port.close();
        },
        failed: (error) => heard.push(error.message),
      });
      flush();
    })();
    expect(heard).toEqual(['broken ECONNRESET', 'freed, 0 left']);
  });

  it('lets the event loop go on while 20 000 clients leave, and each is heard', async () => {
    const network = new MemoryNetwork();
    let left = 0;
    const handler = {
      listening() {},
      error() {},
      accepted: (socket: TransportSocket) => {
        socket.handler = {
          received() {},
          peerEnded: () => void left++,
          writable() {},
          finished() {},
          writeFailed() {},
          failed() {},
          freed() {},
        };
        socket.resume();
      },
    };
    network.transport.listen({ port: 0 }, HOW, handler);
    const clients = Array.from({ length: 20_000 }, () => network.connect());
    while (network.sockets.size < 20_000) await new Promise((resolve) => setImmediate(resolve));
    for (const client of clients) client.end();
    let iterations = 0;
    for (; left < 20_000; iterations++) await new Promise((resolve) => setImmediate(resolve));
    expect(left).toBe(20_000);
    expect(iterations).toBeGreaterThan(1);
  });
});

describe('the client', () => {
  const HOW_LATE = 3;

  it.each([
    ['answers a FIN with its own', {}, ['0 finished', '0 peerEnded', '0 freed']],
    ['answers none where it may be half-open', { allowHalfOpen: true }, ['0 finished']],
  ])('%s', (_what, options, events) => {
    const { heard } = run(options, ({ socket }) => {
      socket.resume();
      socket.end();
    });
    expect(heard).toEqual(events);
  });

  it('answers a FIN when it reads again', () => {
    const { heard } = run({}, ({ client, socket, at }) => {
      client.pause();
      socket.resume();
      socket.end();
      at(HOW_LATE, () => client.resume());
    });
    expect(heard).toEqual(['0 finished', '3 peerEnded', '3 freed']);
  });

  it.each([
    ['the FIN', (socket: TransportSocket) => socket.end(), 'completed'],
    ['a RST', (socket: TransportSocket) => socket.reset(), 'ECONNRESET'],
  ])('tells each subscriber all that it receives, and once, up to %s', (_what, end, over) => {
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
      // What is under way is told to both.
      follow(client, late);
      at(1, () => socket.write('b'));
      at(2, () => end(socket));
      at(HOW_LATE, () => follow(client, late));
    });
    expect(early).toEqual(['a', 'b', over]);
    expect(late).toEqual(['a', 'b', over, 'a', 'b', over]);
  });

  it(
    'plays marbles, and gives back marbles, in whole characters',
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

  const FOR_EVER = Number.POSITIVE_INFINITY;
  const NO_DEADLINES = {
    idle: FOR_EVER,
    greeting: FOR_EVER,
    stall: FOR_EVER,
    frame: FOR_EVER,
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
  ])('makes the run fail, and says why: %s', (_what, handler) => {
    const test = marbles(({ clock }) => void serveIn(clock, handler));
    expect(test).toThrow(/^Cannot wait for a promise in the run of a TestScheduler: .*new MemoryNetwork\(\)/);
  });

  it('is reported, and fails what is received, where it is inside of a pipe', async () => {
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

  it('is no error where there is none', async () => {
    const errors: unknown[] = [];
    config.onUnhandledError = (error) => errors.push(error);
    let client: MemoryClient | undefined;
    marbles(({ clock }) => {
      client = serveIn(clock, (connection) => connection.pipe(lines(), map(encodeLine)));
    })();
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([client?.text, errors]).toEqual(['hello\n', []]);
  });
});
