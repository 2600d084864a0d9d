import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { finalize, firstValueFrom, ignoreElements, merge, NEVER, type Observable } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import { PauseCause } from '../../lib/connection/pauses.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import type { Closed } from '../../lib/events.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { iteration } from '../support/clock.ts';
import { noteEnd, run } from '../support/peers.ts';

const LAST_REPLY = '-ERR you are refused\n';

/** A server that reads nothing. Each socket replies and closes with unread bytes: the client receives the reply, then a RST. */
async function refusing() {
  const sockets: Socket[] = [];
  const waiting: ((socket: Socket) => void)[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket.on('error', () => undefined));
    waiting.shift()?.(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    next: () => new Promise<Socket>((resolve) => waiting.push(resolve)),
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const replyAndReset = (socket: Socket) => {
  socket.write(LAST_REPLY);
  socket.destroy();
};

/** Resolves when written bytes have reached the kernel of the peer, whose program does not read them. */
const settled = async () => {
  for (let iterations = 0; iterations < 5; iterations++) await iteration();
};

/** Passes each line to `next`. Resolves after the last one. */
type Read = (connection: Connection, next: (line: string) => void) => Promise<void>;

const flowing: Read = (connection, next) =>
  new Promise((over) => {
    connection.pipe(lines()).subscribe({ next, error: () => over(), complete: over });
  });

/** Works for a few event-loop iterations on each frame, for which the input is paused. */
const slow: Read = async (connection, next) => {
  try {
    for await (const line of connection.pipe(lines())) {
      next(line);
      await settled();
    }
  } catch {
    // The connection is reset.
  }
};

/** Subscribes only after the connection has failed. */
const late: Read = async (connection, next) => {
  await settled();
  await flowing(connection, next);
};

const readers: [string, Read][] = [
  ['that never pauses', flowing],
  ['that pauses after each frame', slow],
  ['that subscribes after the failure', late],
];

describe.each(['handle', 'net'])('a client (transport: %s)', (transport) => {
  beforeEach(() => void vi.stubEnv('SLUICE_TRANSPORT', transport));
  afterEach(() => void vi.unstubAllEnvs());

  const dial = async (port: number) => {
    const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }));
    await connection.write('hello\n');
    return connection;
  };

  const run20 = async (read: Read, fail: (connection: Connection, socket: Socket) => Promise<void>) => {
    const server = await refusing();
    const ends: Closed[] = [];
    const texts: string[] = [];
    for (let round = 0; round < 20; round++) {
      const accepted = server.next();
      const connection = await dial(server.port);
      const socket = await accepted;
      const closed = firstValueFrom(connection.closed);
      await fail(connection, socket);
      const over = read(connection, (line) => texts.push(line));
      ends.push(await closed);
      await over;
    }
    server.close();
    return { texts, ends };
  };

  it.each(readers)(
    'delivers 20 of 20 last replies when its write fails at once, to a reader %s',
    async (_reader, read) => {
      const { texts, ends } = await run20(read, async (connection, socket) => {
        await settled();
        // In one callback, so that nothing can be read in between.
        replyAndReset(socket);
        void connection.write('more\n');
      });
      expect(texts).toHaveLength(20);
      expect(ends.map(({ reason, bytesIn }) => `${reason} ${bytesIn}`)).toEqual(
        Array(20).fill(`reset ${LAST_REPLY.length}`),
      );
      expect(ends.every(({ error }) => /^write E(PIPE|CONNRESET)$/.test((error as Error).message))).toBe(true);
      expect(ends.map(({ unsent, bytesOut }) => [unsent, bytesOut])).toEqual(Array(20).fill([5, 6]));
    },
  );

  it.each(readers)(
    'delivers 20 of 20 last replies when a pending write fails, to a reader %s',
    async (_reader, read) => {
      const { texts, ends } = await run20(read, async (connection, socket) => {
        void connection.write(Buffer.alloc(8_000_000));
        await settled();
        replyAndReset(socket);
        await settled();
      });
      expect(texts).toHaveLength(20);
      expect(ends.map(({ reason, bytesIn }) => `${reason} ${bytesIn}`)).toEqual(
        Array(20).fill(`reset ${LAST_REPLY.length}`),
      );
      expect(ends.every(({ error }) => /^write E(PIPE|CONNRESET)$/.test((error as Error).message))).toBe(true);
    },
  );
});

describe('a connection whose write fails', () => {
  it('delivers in order what it has received before, and then errors', () => {
    const { notes } = run({ window: 4 }, ({ connection, client, note, at }) => {
      client.pause().write('a\n');
      at(1, () => connection.output.push('a request'));
      at(2, () => client.write('b\nc\n').break());
      // Nothing has been read before the write fails.
      at(3, () => connection.pipe(lines()).subscribe({ next: (line) => note(line), ...noteEnd(note) }));
    });
    expect(notes).toEqual([
      '3 a',
      '3 b',
      '3 c',
      '3 Cannot go on with connection 1: it is closed (reset)',
      '3 reset 4 5',
    ]);
  });

  it('delivers what it has received before when a paused input is resumed within the linger', () => {
    const { notes, made } = run({ linger: 100 }, ({ connection, client, note, at }) => {
      connection.pipe(lines()).subscribe({ next: (line) => note(line), ...noteEnd(note) });
      connection.control.pause(PauseCause.handler);
      client.write('a\nb\n');
      at(1, () => client.write('c\n').break());
      at(2, () => connection.output.push('a reply'));
      at(50, () => connection.control.resume(PauseCause.handler));
    });
    expect(notes).toEqual([
      '50 a',
      '50 b',
      '50 c',
      '50 Cannot go on with connection 1: it is closed (reset)',
      '50 reset 0 7',
    ]);
    expect(made.network.sockets.size).toBe(0);
  });

  it('closes when the linger is over, although its input is still paused', () => {
    const { notes, made } = run({ linger: 100 }, ({ connection, client, note, at }) => {
      connection.pipe(lines()).subscribe({ next: (line) => note(line), ...noteEnd(note) });
      connection.control.pause(PauseCause.handler);
      client.write('a\n').break();
      at(2, () => connection.output.push('a reply'));
    });
    expect(notes).toEqual(['102 Cannot go on with connection 1: it is closed (reset)', '102 reset 0 7']);
    expect(made.network.sockets.size).toBe(0);
  });

  it.each<[string, (connection: Connection) => Observable<Data>]>([
    ['the peer has sent its FIN', (connection) => merge(connection.pipe(ignoreElements()), NEVER)],
    ['the peer has sent its FIN, which a paused input retains', exchange(lines(), () => NEVER)],
  ])('unsubscribes from its handler in the same callback when nothing is left to read: %s', (_when, handler) => {
    const { notes } = run({}, ({ connection, client, note, at }) => {
      handler(connection)
        .pipe(
          finalize(() => note('unsubscribed')),
          connection.send(),
        )
        .subscribe(noteEnd(note));
      client.write('a\n').end();
      at(2, () => connection.writeFailed(new Error('write EPIPE')));
    });
    expect(notes).toEqual(['2 unsubscribed', '2 complete', '2 reset 0 0']);
  });

  it('sends nothing more, and is not congested', () => {
    const { notes, made } = run({ linger: 100 }, ({ connection, client, note, at }) => {
      connection.pipe(lines()).subscribe({ next: (line) => note(line), ...noteEnd(note) });
      connection.control.pause(PauseCause.handler);
      client.write('a\n').break();
      at(2, () => connection.output.push('one'));
      at(3, () => connection.output.push('two'));
      at(4, () => note(`congested: ${connection.congested}`));
      at(5, () => connection.halfClose());
    });
    expect(notes).toEqual([
      '4 congested: false',
      '102 Cannot go on with connection 1: it is closed (reset)',
      '102 reset 0 6',
    ]);
    expect(made.writes).toEqual(['one']);
  });
});
