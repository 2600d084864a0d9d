import { mergeMap, Subject } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { exchange } from '../../lib/flow/exchange.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import { type Handler, serve } from '../../lib/serve.ts';
import { SecureHandleSocket } from '../../lib/tls/secureHandleSocket.ts';
import { SecureSocket } from '../../lib/tls/secureSocket.ts';
import { HandleSocket } from '../../lib/transport/handleSocket.ts';
import { NetSocket } from '../../lib/transport/netSocket.ts';
import { client, closeClients } from '../support/client.ts';
import { iteration } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const requests = Array.from({ length: 16 }, (_, n) => `${n}\n`).join('');

const handlers: Record<string, Handler> = {
  'an exchange with async functions, one at a time': exchange(lines(), async (line) => encodeLine(line)),
  'an exchange with async functions, several at a time': exchange(lines(), async (line) => encodeLine(line), {
    concurrency: 8,
  }),
  'an exchange with async generators': exchange(lines(), async function* (line) {
    yield encodeLine(line);
  }),
  'mergeMap with async functions': (connection) =>
    connection.pipe(
      lines(),
      mergeMap(async (line) => encodeLine(line)),
    ),
};

describe.each(Object.entries(handlers))('%s', (_name, handler) => {
  afterEach(() => {
    closeClients();
    vi.restoreAllMocks();
  });

  it('replies to the requests of one read in one write', async () => {
    await iteration();
    // Otherwise a slow machine may spend the time slice of the iteration on the first requests.
    vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    const kinds = [HandleSocket, NetSocket, SecureHandleSocket, SecureSocket];
    const writes = kinds.map(({ prototype }) => vi.spyOn(prototype, 'write'));
    const shutdown = new Subject<void>();
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, { shutdown }));
    await client(await log.whenListening())
      .write(requests)
      .whenRead(requests);
    expect(writes.flatMap(({ mock }) => mock.calls)).toEqual([[requests]]);
    shutdown.next();
    await log.whenCompleted();
  });
});
