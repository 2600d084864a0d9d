import { once } from 'node:events';
import { createServer, connect as rawConnect } from 'node:net';
import { connect as tlsConnect, createServer as tlsServer } from 'node:tls';
import { firstValueFrom, type Subscription } from 'rxjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Connection, connect, lines, serve, type TlsOptions } from '../../lib/index.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { Log } from '../support/log.ts';

const HOST = '127.0.0.1';

let root: Authority;
let good: Issued;
beforeAll(async () => {
  root = await authority();
  good = await root.issue();
});

/** What a connection may be told within a callback of its handshake. */
const ends: [string, (one: Connection) => void][] = [
  ['aborted', (one) => one.abort()],
  ['ended', (one) => one.end()],
  [
    'aborted after its end',
    (one) => {
      one.end();
      one.abort();
    },
  ],
];

/** What the callback does then. */
const outcomes: [string, () => Error | undefined][] = [
  ['accepts', () => undefined],
  ['refuses', () => new Error('refused')],
  [
    'throws',
    () => {
      throw new Error('thrown');
    },
  ],
];

const cases = ends.flatMap(([name, end]) => outcomes.map(([what, outcome]) => ({ name, end, what, outcome })));

// A connection that is closed there in a wrong way ends the process with a segmentation fault.
describe('within a callback of its handshake', () => {
  it.each(cases)('a client is $name by the check of the certificate, which $what', async ({ end, outcome }) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.write('go\n'));
      socket.on('data', (chunk) => chunk.includes('START') || secure(socket, chunk));
    });
    const secure = (socket: import('node:net').Socket, chunk: Buffer) => {
      socket.removeAllListeners('data').pause();
      socket.unshift(chunk);
      inner.emit('connection', socket);
    };
    const inner = tlsServer(good).on('tlsClientError', () => undefined);
    inner.on('secureConnection', (socket) => socket.on('error', () => undefined).resume());
    server.listen(0, HOST);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    for (let i = 0; i < 5; i++) {
      const one = await firstValueFrom(connect({ port, host: HOST }, { linger: 50 }));
      void one.write('START\n');
      const input = one.pipe(lines())[Symbol.asyncIterator]();
      await input.next();
      let isCalled = false;
      const checkServerIdentity = () => {
        isCalled = true;
        end(one);
        return outcome();
      };
      const closed = firstValueFrom(one.closed);
      void one.upgrade({ ca: root.ca, checkServerIdentity });
      await closed;
      expect(isCalled).toBe(true);
    }
    server.close();
  });

  it.each(cases)('a server is $name by an SNICallback, which $what', async ({ end, outcome }) => {
    let current: Connection | undefined;
    const tls: TlsOptions = {
      ...good,
      SNICallback: (_name, done) => {
        end(current as Connection);
        done(outcome() ?? null);
      },
    };
    const log = Log.follow(
      serve(
        { port: 0, host: HOST },
        async (one) => {
          current = one;
          for await (const _line of one.pipe(lines())) {
            void one.write('go\n');
            await one.upgrade(tls);
          }
        },
        { linger: 50 },
      ),
    );
    const port = await log.whenListening();
    for (let i = 1; i <= 5; i++) {
      const raw = rawConnect(port, HOST).on('error', () => undefined);
      raw.write('START\n');
      await once(raw, 'data');
      const socket = tlsConnect({ socket: raw, ca: root.ca, servername: 'localhost' }).on('error', () => undefined);
      socket.on('end', () => socket.destroy()).resume();
      await log.whenEmitted('closed', i);
    }
    log.subscription?.unsubscribe();
  });

  it.each(outcomes)('`connect` is unsubscribed by the check of the certificate, which %s', async (_what, outcome) => {
    const server = tlsServer(good, (socket) => socket.on('error', () => undefined).resume()).listen(0, HOST);
    server.on('tlsClientError', () => undefined);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    for (let i = 0; i < 5; i++) {
      const subscriptions: Subscription[] = [];
      const emitted: unknown[] = [];
      const left = once(server, 'connection').then(
        ([socket]) => new Promise((resolve) => socket.once('close', resolve)),
      );
      const checkServerIdentity = () => {
        subscriptions[0]?.unsubscribe();
        return outcome();
      };
      const tls = { ca: root.ca, checkServerIdentity };
      subscriptions.push(
        connect({ port, host: HOST }, { tls }).subscribe({
          next: (one) => emitted.push(one),
          error: (error) => emitted.push(error),
        }),
      );
      await left;
      expect(emitted).toEqual([]);
    }
    server.close();
  });
});
