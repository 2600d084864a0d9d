import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { Subject } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { serve } from '../../lib/serve.ts';
import { handles } from '../../lib/transport/nodeInternals.ts';
import { authority } from '../support/certificates.ts';
import { iteration } from '../support/clock.ts';
import { Log } from '../support/log.ts';

type Wrap = { readStop(): number; readonly _parent: { readStop(): number; getpeername(out: object): number } };

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe.runIf(handles())('the handle of a connection that a server secures and serves at once', () => {
  it('is asked for its address once, and reads without a stop', async () => {
    vi.stubEnv('SLUICE_TRANSPORT', 'handle');
    const root = await authority();
    const shutdown = new Subject<void>();
    const options = { tls: await root.issue(), shutdown };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, options));
    const port = await log.whenListening();
    const echo = async (socket: TLSSocket) => {
      socket.write('abc');
      const [reply] = await once(socket, 'data');
      return String(reply);
    };
    const dial = () => connect({ port, host: '127.0.0.1', ca: root.ca });
    // The first connection shows the prototypes. A server knows a moment after its start what it needs for handshakes on handles.
    for (let i = 0; i < 10; i++) await iteration();
    const first = dial();
    expect(await echo(first)).toBe('abc');
    const { _handle: wrap } = first as unknown as { _handle: Wrap };
    const stops = vi.spyOn(Object.getPrototypeOf(wrap), 'readStop');
    const stopsBeneath = vi.spyOn(Object.getPrototypeOf(wrap._parent), 'readStop');
    const addresses = vi.spyOn(Object.getPrototypeOf(wrap._parent), 'getpeername');
    const second = dial();
    expect(await echo(second)).toBe('abc');
    const calls = [stops, stopsBeneath, addresses].map(({ mock }) => mock.calls.length);
    expect(calls).toEqual([0, 0, 1]);
    for (const socket of [first, second]) socket.end();
    shutdown.next();
    await log.whenCompleted();
  });
});
