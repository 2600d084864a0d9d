import { Observable, Subject } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { serve } from '../../lib/serve.ts';
import { client, clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';

describe.each(['handle', 'net'])('what is written (transport: %s)', (transport) => {
  beforeEach(() => void vi.stubEnv('SLUICE_TRANSPORT', transport));
  afterEach(() => {
    vi.unstubAllEnvs();
    closeClients();
  });

  /** Serves three clients, and passes their connections on. */
  const three = async () => {
    const shutdown = new Subject<void>();
    const connections: Connection[] = [];
    const serving = (connection: Connection) => {
      connections.push(connection);
      return connection;
    };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, serving, { shutdown }));
    const all = clients(3, await log.whenListening());
    for (const one of all) one.write('hello');
    await Promise.all(all.map((one) => one.whenRead('hello')));
    const end = async () => {
      shutdown.next();
      await log.whenCompleted();
    };
    return { log, all, connections, end };
  };

  it('has been handed to the network when the promise of write() is resolved', async () => {
    const { connections, end } = await three();
    const [connection] = connections as [Connection];
    const { bytesOut } = connection;
    for (let round = 1; round <= 5; round++) {
      await connection.write('a last message');
      expect(connection.bytesOut).toBe(bytesOut + round * 14);
    }
    await end();
  });

  it('costs its own connection at most if its memory is transferred before it leaves', async () => {
    const { all, connections, end } = await three();
    const bytes = new Uint8Array(8);
    const writes: (string | Uint8Array)[] = ['first', bytes, 'third'];
    for (const [at, connection] of connections.entries()) void connection.write(writes[at] ?? '').catch(() => {});
    structuredClone(bytes, { transfer: [bytes.buffer] });
    const texts = ['hellofirst', '', 'hellothird'];
    const others = connections.map((connection) => all.find(({ socket }) => socket.localPort === connection.peer.port));
    for (const at of [0, 2]) await others[at]?.whenRead(texts[at] ?? '');
    for (const at of [0, 2]) void connections[at]?.write(' and more');
    for (const at of [0, 2]) await others[at]?.whenRead(`${texts[at]} and more`);
    await end();
  });

  it('does not keep its connection open if that has ended, and its memory is transferred before it leaves', async () => {
    const shutdown = new Subject<void>();
    const handler = () =>
      new Observable<string | Uint8Array>((subscriber) => {
        const bytes = new Uint8Array(8);
        // More than the kernel takes at once, so that the rest waits.
        for (const value of [Buffer.alloc(8_000_000), bytes, 'x']) subscriber.next(value);
        subscriber.complete();
        structuredClone(bytes, { transfer: [bytes.buffer] });
      });
    const limits = { maxOutbound: 10_000_000, highWaterMark: 10_000_000 };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, { shutdown, ...limits }));
    const one = client(await log.whenListening());
    await one.until(({ ended }) => ended);
    await log.whenEmitted('closed');
    expect(log.closes).toEqual(['failed']);
    shutdown.next();
    await log.whenCompleted();
  });
});
