import { connect, type Socket } from 'node:net';
import { defer, EMPTY, map, type Observable } from 'rxjs';
import { onTestFinished, vi } from 'vitest';
import { type Connection, type Data, exchange, lines } from '../../lib/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import type { Transport } from '../../lib/transport/transport.ts';

/** Lines that each client sends. */
export const MANY = 1500;
export const SLOTS = 4;
/** Limits at which connections wait for room, for memory and for a slot all the time. */
export const LIMITS = {
  highWaterMark: 2000,
  maxOutbound: 1_000_000,
  budget: 150_000,
  concurrency: SLOTS,
  linger: 200,
  waiting: { timeout: 60_000 },
};

/** Checks the async context of a callback. @param what The kind of callback. */
export type Check = (connection: Connection, what: string) => void;

/** Handlers of each kind, for clients that send lines. Each checks the context wherever its code is called. */
export const handlers = (check: Check): ((connection: Connection) => Observable<Data>)[] => [
  (connection) =>
    defer(async () => {
      for (let left = MANY; left > 0; left--) {
        await connection.write('0123456789');
        check(connection, 'after a promise of write()');
      }
      return 'end';
    }),
  exchange(lines(), function* (_line, connection) {
    for (let left = 10; left > 0; left--) {
      check(connection, 'in a generator');
      yield '0123456789';
    }
  }),
  exchange(lines(), async function* (_line, connection) {
    for (let left = 10; left > 0; left--) {
      check(connection, 'in an async generator');
      yield '0123456789';
    }
  }),
  exchange(lines(), async (line, connection) => {
    check(connection, 'with a frame');
    return line.repeat(50);
  }),
  (connection) =>
    connection.pipe(
      lines(),
      map((line) => {
        check(connection, 'in an operator');
        return line.repeat(50);
      }),
    ),
  (connection) =>
    defer(async () => {
      for await (const line of connection.pipe(lines())) {
        check(connection, 'in a loop over frames');
        void connection.write(line.repeat(50));
      }
      return '';
    }),
];

const during = (callback: () => void) =>
  defer(() => {
    callback();
    return EMPTY;
  });

/** How handlers end. @param run Calls what ends the connection. */
export const endings = (
  run: (connection: Connection, work: () => void) => void,
): ((connection: Connection) => Observable<never>)[] => [
  () => EMPTY,
  (connection) => during(() => run(connection, () => connection.abort())),
  (connection) => during(() => run(connection, () => connection.end())),
  () =>
    defer(() => {
      throw new Error('on purpose');
    }),
];

export const until = (done: () => boolean) => vi.waitUntil(done, { timeout: 55_000, interval: 1 });

export interface Clients {
  readonly transport?: Transport;
  /** Connects a client that sends many lines and its FIN, and begins to read 20 ms later. */
  dial(port: number): { over(): boolean };
}

export const real = (transport: Transport) => (): Clients => ({
  transport,
  dial(port) {
    const socket: Socket = connect({ port, allowHalfOpen: true }).on('error', () => {});
    onTestFinished(() => void socket.destroy());
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

export const inMemory = (): Clients => {
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
