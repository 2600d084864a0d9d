import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { firstValueFrom, NEVER } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import type { Closed } from '../../lib/events.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { heard, run } from '../support/peers.ts';

const WORDS = '-ERR you are refused\n';

/** A server that reads nothing. Each of its sockets says its words and closes, with bytes unread: data, then a RST. */
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

const say = (socket: Socket) => {
  socket.write(WORDS);
  socket.destroy();
};

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Until what was written has reached the peer's kernel, which does not read it. */
const settled = async () => {
  for (let turns = 0; turns < 5; turns++) await turn();
};

/** Resolves when the reader has heard all that it will. */
type Read = (connection: Connection, hear: (text: string) => void) => Promise<void>;

const flowing: Read = (connection, hear) =>
  new Promise((over) => {
    connection.pipe(lines()).subscribe({ next: hear, error: () => over(), complete: over });
  });

/** Reads a frame only when it has worked on the last one, which takes some turns. */
const held: Read = async (connection, hear) => {
  try {
    for await (const line of connection.pipe(lines())) {
      hear(line);
      await settled();
    }
  } catch {
    // The connection is reset.
  }
};

/** Subscribes only when the connection has failed already. */
const late: Read = async (connection, hear) => {
  await settled();
  await flowing(connection, hear);
};

const readers: [string, Read][] = [
  ['a reader that flows', flowing],
  ['a reader that is held back', held],
  ['a reader that comes later', late],
];

/** Has the way of writing that a Node would have whose handles are of no kind that is known. */
async function unknownNode(): Promise<Transport> {
  vi.resetModules();
  vi.doMock('../../lib/transport/directWrites.ts', async (original) => ({
    ...(await original<object>()),
    writerOf: () => undefined,
  }));
  return (await import('../../lib/transport/node.ts')).nodeTransport;
}

describe.each([
  ['shared reads', 'shared', false],
  ['reads of their own', 'data', false],
  ["Node's own writes", 'shared', true],
  ["Node's own reads and writes", 'data', true],
])('a client with %s', (_how, reads, isUnknown) => {
  let transport: Transport | undefined;
  beforeEach(async () => {
    vi.stubEnv('SLUICE_READS', reads);
    transport = isUnknown ? await unknownNode() : undefined;
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.doUnmock('../../lib/transport/directWrites.ts');
    vi.resetModules();
  });

  const dial = async (port: number) => {
    const options = transport ? { transport } : {};
    const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }, options));
    // The first write of a process is Node's, which the others learn from.
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
      const heard = read(connection, (text) => texts.push(text));
      ends.push(await closed);
      await heard;
    }
    server.close();
    return { texts, ends };
  };

  it.each(readers)('hears 20 of 20 last words when its write fails at once: %s', async (_who, read) => {
    const { texts, ends } = await run20(read, async (connection, socket) => {
      await settled();
      // In one turn: nothing can be read in between.
      say(socket);
      void connection.write('more\n');
    });
    expect(texts).toHaveLength(20);
    expect(ends.map(({ reason, bytesIn }) => `${reason} ${bytesIn}`)).toEqual(Array(20).fill(`reset ${WORDS.length}`));
    expect(ends.every(({ error }) => /^write E(PIPE|CONNRESET)$/.test((error as Error).message))).toBe(true);
    // Node does not say of its own writes what was not taken.
    const figures = isUnknown ? [0, 6] : [5, 6];
    expect(ends.map(({ unsent, bytesOut }) => [unsent, bytesOut])).toEqual(Array(20).fill(figures));
  });

  it.each(readers)('hears 20 of 20 last words when a write under way fails: %s', async (_who, read) => {
    const { texts, ends } = await run20(read, async (connection, socket) => {
      void connection.write(Buffer.alloc(8_000_000));
      await settled();
      say(socket);
      await settled();
    });
    expect(texts).toHaveLength(20);
    expect(ends.map(({ reason, bytesIn }) => `${reason} ${bytesIn}`)).toEqual(Array(20).fill(`reset ${WORDS.length}`));
    expect(ends.every(({ error }) => /^write E(PIPE|CONNRESET)$/.test((error as Error).message))).toBe(true);
  });
});

describe('a connection whose write fails', () => {
  it('delivers what came before, in order, and then errors', () => {
    const { said } = run({ window: 4 }, ({ connection, client, say, at }) => {
      client.pause().write('a\n');
      at(1, () => connection.output.push('a request'));
      at(2, () => client.write('b\nc\n').break());
      // It has not read anything until the write has failed.
      at(3, () => connection.pipe(lines()).subscribe({ next: (line) => say(line), ...heard(say) }));
    });
    expect(said).toEqual([
      '3 a',
      '3 b',
      '3 c',
      '3 Cannot go on with connection 1: it is closed (reset)',
      '3 reset 4 5',
    ]);
  });

  it('lets a reader that is held back have it, within the linger', () => {
    const { said, made } = run({ linger: 100 }, ({ connection, client, say, at }) => {
      connection.pipe(lines()).subscribe({ next: (line) => say(line), ...heard(say) });
      connection.control.pause(2);
      client.write('a\nb\n');
      at(1, () => client.write('c\n').break());
      at(2, () => connection.output.push('a reply'));
      at(50, () => connection.control.resume(2));
    });
    expect(said).toEqual([
      '50 a',
      '50 b',
      '50 c',
      '50 Cannot go on with connection 1: it is closed (reset)',
      '50 reset 0 7',
    ]);
    expect(made.network.sockets.size).toBe(0);
  });

  it('is gone when the linger is over, though its reader is held back still', () => {
    const { said, made } = run({ linger: 100 }, ({ connection, client, say, at }) => {
      connection.pipe(lines()).subscribe({ next: (line) => say(line), ...heard(say) });
      connection.control.pause(2);
      client.write('a\n').break();
      at(2, () => connection.output.push('a reply'));
    });
    expect(said).toEqual(['102 Cannot go on with connection 1: it is closed (reset)', '102 reset 0 7']);
    expect(made.network.sockets.size).toBe(0);
  });

  it('lets go of its handler in that turn where there is nothing to read', () => {
    const { said } = run({}, ({ connection, client, say, at }) => {
      exchange(lines(), () => NEVER, { concurrency: 1 })(connection)
        .pipe(connection.send())
        .subscribe(heard(say));
      client.write('a\n');
      at(1, () => client.break());
      at(2, () => connection.output.push('a reply'));
    });
    expect(said.at(-1)).toMatch(/^[12] /);
  });

  it('sends nothing more, and makes nothing wait', () => {
    const { said, made } = run({ linger: 100 }, ({ connection, client, say, at }) => {
      connection.pipe(lines()).subscribe({ next: (line) => say(line), ...heard(say) });
      connection.control.pause(2);
      client.write('a\n').break();
      at(2, () => connection.output.push('one'));
      at(3, () => connection.output.push('two'));
      at(4, () => say(`congested: ${connection.congested}`));
      at(5, () => connection.halfClose());
    });
    expect(said).toEqual([
      '4 congested: false',
      '102 Cannot go on with connection 1: it is closed (reset)',
      '102 reset 0 6',
    ]);
    expect(made.writes).toEqual(['one']);
  });
});
