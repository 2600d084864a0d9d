import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Subject } from 'rxjs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { serve } from '../../lib/serve.ts';
import { type Authority, authority } from '../support/certificates.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const HOST = '127.0.0.1';

let root: Authority;
beforeAll(async () => {
  root = await authority();
});

const servers: Log[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A server whose clock stands, and a client whose second message of the handshake is held back. */
async function midway() {
  const shutdown = new Subject<void>();
  const clock = new Clock();
  const handler = () => expect.unreachable();
  const tls = await root.issue();
  const log = Log.follow(serve({ port: 0, host: HOST }, handler, { tls, shutdown, scheduler: clock }));
  servers.push(log);
  const raw = connect({ port: await log.whenListening(), host: HOST });
  const seen = { error: undefined as Error | undefined, last: Buffer.alloc(0) };
  raw.on('error', (error) => {
    seen.error = error;
  });
  let hasBegun = false;
  let release = () => {};
  const wire = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      if (hasBegun) release = () => void raw.write(chunk, done);
      else raw.write(chunk, done);
      hasBegun = true;
    },
    final: (done) => void raw.end(done),
  });
  raw.on('data', (chunk) => {
    seen.last = chunk;
    wire.push(chunk);
  });
  raw.on('end', () => wire.push(null));
  const client: TLSSocket = connectTls({ socket: wire, ca: root.ca, servername: 'localhost' });
  client.on('error', (error) => {
    seen.error ??= error;
  });
  sockets.push(raw, client);
  client.write('hello\n');
  // By then the client has read the server's part, and written its own.
  await once(client, 'secureConnect');
  return { log, shutdown, clock, client, raw, seen, release: () => release() };
}

// TLS 1.3: the client is done before the server, and may have sent a request already. A closed socket would answer with a RST.
it('a client that is refused by a drain within its handshake sees the end of a secured connection, and no RST', async () => {
  const { log, shutdown, clock, client, raw, seen, release } = await midway();
  shutdown.next();
  // A drain waits for handshakes that have begun, for a second.
  while (log.of('refused').length === 0) await clock.advance(1);
  expect(log.refusals).toEqual(['draining']);
  release();
  client.resume();
  await once(client, 'end');
  if (!raw.closed) await once(raw, 'close');
  // close_notify is the record of 19 bytes.
  expect([...seen.last.subarray(-24, -19)]).toEqual([23, 3, 3, 0, 19]);
  expect(seen.error).toBeUndefined();
  await log.whenCompleted();
  expect(log.report).toMatchObject({ refused: 1, aborted: 0, drained: 0 });
  expect(log.types).not.toContain('opened');
});

it('a client that is refused within its handshake, and does not go on, is closed after 100 ms', async () => {
  const { log, shutdown, clock, raw } = await midway();
  shutdown.next();
  // A drain waits for handshakes that have begun, for a second.
  while (log.of('refused').length === 0) await clock.advance(1);
  await clock.advance(99);
  expect(log.types).not.toContain('drained');
  await clock.advance(1);
  if (!raw.closed) await new Promise((resolve) => raw.on('close', resolve));
  await log.whenCompleted();
  expect(log.report).toMatchObject({ refused: 1, aborted: 0 });
});
