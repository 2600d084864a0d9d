import { once } from 'node:events';
import { connect as dial } from 'node:net';
import fc from 'fast-check';
import { catchError, EMPTY, mergeMap, type Subscription, type VirtualTimeScheduler } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { ConnectionSettings } from '../../lib/connection/settings.ts';
import { SocketConnection } from '../../lib/connection/socketConnection.ts';
import { relay } from '../../lib/flow/relay.ts';
import { listen } from '../../lib/listen/listen.ts';
import { serve } from '../../lib/serve.ts';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { chop } from '../support/bytes.ts';
import { Log } from '../support/log.ts';
import { marbles } from '../support/marbles.ts';
import { RecordingOwner } from '../support/peers.ts';
import { settings } from '../support/settings.ts';
import { openConnections, readAll } from '../support/sockets.ts';

interface At {
  /** The client of connection `one`. */
  readonly a: MemoryClient;
  /** The client of connection `other`. */
  readonly b: MemoryClient;
  readonly one: SocketConnection;
  readonly other: SocketConnection;
  readonly subscription: Subscription;
  readonly note: (what: unknown) => void;
  readonly clock: VirtualTimeScheduler;
  readonly at: (ms: number, work: () => void) => void;
}

/** Two clients in memory whose connections are relayed. Returns the lines of the log, each with its time. */
function run(some: Partial<ConnectionSettings>, test: (at: At) => void): string[] {
  const log: string[] = [];
  marbles(({ clock, flush }) => {
    const network = new MemoryNetwork(clock);
    const note = (what: unknown) => log.push(`${clock.now()} ${what}`);
    const connections: SocketConnection[] = [];
    const one = { window: 10, allowHalfOpen: true };
    const clients = [network.connect(one), network.connect(one)];
    network.transport.listen(
      { port: 0 },
      { backlog: 1, noDelay: true, keepAlive: false },
      {
        listening() {},
        error(error) {
          throw error;
        },
        accepted(socket) {
          const id = connections.length + 1;
          const connection = new SocketConnection(id, socket, settings({ clock, ...some }), new RecordingOwner());
          connection.closed.subscribe(({ reason }) => note(`${id} ${reason}`));
          connections.push(connection);
          const [one, other] = connections;
          const [a, b] = clients;
          if (!one || !other || !a || !b) return;
          const subscription = relay(one, other).subscribe({
            error: (error) => note(error.message),
            complete: () => note('complete'),
          });
          test({ a, b, one, other, subscription, note, clock, at: (ms, work) => void clock.schedule(work, ms) });
        },
      },
    );
    flush();
    expect(network.sockets.size).toBe(0);
  })();
  return log;
}

describe('relay', () => {
  it('passes bytes on in both directions, within the read, and completes when both have ended', () => {
    const log = run({}, ({ a, b, at, note }) => {
      a.write('question');
      at(0, () => note(b.text));
      at(5, () => b.write('ans').write('wer'));
      at(6, () => note(a.text));
      at(7, () => b.end());
      at(8, () => note(`${a.ended} ${b.ended}`));
      at(9, () => a.end());
    });
    expect(log).toEqual(['0 question', '6 answer', '8 true false', '9 complete', '9 1 ended', '9 2 ended']);
  });

  it('passes a FIN on, and the reply that comes after it', () => {
    const log = run({}, ({ a, b, at, note }) => {
      a.write('all of it').end();
      at(5, () => note(`${b.text} ${b.ended} ${a.ended}`));
      at(1000, () => b.write('a late reply').end());
      at(1001, () => note(`${a.text} ${a.ended}`));
    });
    expect(log).toEqual([
      '5 all of it true false',
      '1000 complete',
      '1000 2 ended',
      '1000 1 ended',
      '1001 a late reply true',
    ]);
  });

  it('does not read from one connection while the other takes nothing, and then continues where it stopped', () => {
    const pieces = Array.from({ length: 50 }, (_, n) => `${n}`.padStart(4, '.'));
    const log = run({ highWaterMark: 8 }, ({ a, b, one, other, at, note }) => {
      b.pause();
      for (const [n, piece] of pieces.entries()) at(n, () => a.write(piece));
      at(59, () => a.end());
      at(60, () => note(`read ${one.bytesIn}, unsent ${other.unsent}, the other way ${other.bytesIn}`));
      at(61, () => b.write('still read'));
      at(62, () => note(a.text));
      at(70, () => b.resume());
      at(71, () => note(`${one.paused.handler} ${one.paused.peer} ${b.text === pieces.join('')} ${b.ended}`));
      at(72, () => b.end());
    });
    // The window has room for 10 bytes; then more than 8 are unsent, and one read is kept.
    expect(log).toEqual([
      '60 read 24, unsent 10, the other way 0',
      '62 still read',
      '71 66 0 true true',
      '72 complete',
      '72 2 ended',
      '72 1 ended',
    ]);
  });

  it.each(['a', 'b'] as const)('aborts the other connection when that of %s is reset', (which) => {
    const log = run({}, ({ a, b, at, note }) => {
      const [broken, other] = which === 'a' ? [a, b] : [b, a];
      a.write('half a requ');
      at(5, () => broken.break());
      at(6, () => note(`${other.reset} ${other.ended}`));
    });
    const [broken, other] = which === 'a' ? [1, 2] : [2, 1];
    expect(log).toHaveLength(4);
    expect(log).toEqual(
      expect.arrayContaining([
        `5 Cannot go on with connection ${broken}: it is closed (reset)`,
        `5 ${broken} reset`,
        `5 ${other} failed`,
        '6 true false',
      ]),
    );
  });

  it('aborts the other connection when one is reset whose input had already ended', () => {
    const log = run({}, ({ a, b, at, note }) => {
      a.end();
      at(5, () => a.break());
      at(6, () => note(b.reset));
    });
    expect(log).toContain('5 Cannot go on with connection 1: it is closed (reset)');
    expect(log).toContain('6 true');
  });

  it('aborts both when it is unsubscribed', () => {
    const log = run({}, ({ a, b, subscription, at, note }) => {
      a.write('x');
      at(5, () => subscription.unsubscribe());
      at(6, () => note(`${a.reset} ${b.reset}`));
    });
    expect(log.sort()).toEqual(['5 1 aborted', '5 2 aborted', '6 true true']);
  });

  it('aborts both when one takes nothing for too long', () => {
    const log = run({ stall: 300 }, ({ a, b, at, note }) => {
      b.pause();
      a.write('more than ten bytes');
      at(301, () => note(a.reset));
    });
    expect(log).toContain('300 2 slow-consumer');
    expect(log).toContain('300 1 failed');
    expect(log).toContain('301 true');
  });

  it('goes on in a drain until no byte has passed for a while', () => {
    const log = run({}, ({ a, b, one, at, note }) => {
      at(10, () => one.drain());
      for (const ms of [0, 100, 250, 300]) at(ms, () => a.write('ask '));
      for (const ms of [290, 490]) at(ms, () => b.write('tell '));
      at(689, () => note(`${a.text}${b.text}${b.ended}`));
      at(691, () => note(`${b.ended} ${a.ended}`));
      at(692, () => b.write('last').end());
      at(693, () => note(`${a.text} ${a.ended}`));
      at(694, () => a.end());
    });
    expect(log).toEqual([
      '689 tell tell ask ask ask ask false',
      '691 true false',
      '692 complete',
      '692 2 ended',
      '693 tell tell last true',
      '694 1 drained',
    ]);
  });

  it('leaves no timer when it ends in a drain', () => {
    const log = run({}, ({ a, b, one, clock, note, at }) => {
      one.drain();
      at(5, () => a.end());
      at(5, () => b.end());
      at(6, () => note(`${clock.actions.length} actions`));
    });
    expect(log).toContain('5 complete');
    expect(log).toContain('6 0 actions');
  });

  it('delivers input that is paused when both peers have sent a FIN', () => {
    const log = run({ highWaterMark: 1 }, ({ a, b, at, note }) => {
      // Everything has been sent to a. What a sends is paused, including its FIN.
      b.pause().end();
      at(1, () => a.write('0123456789abcdef'));
      at(2, () => a.write('ghij'));
      at(3, () => a.end());
      at(10, () => b.resume());
      at(11, () => note(b.text));
    });
    expect(log).toContain('11 0123456789abcdefghij');
    expect(log).toContain('10 complete');
    expect(log.filter((what) => what.includes('ended'))).toHaveLength(2);
  });

  it('delivers a FIN that came while the input was paused and empty', () => {
    const log = run({ highWaterMark: 1 }, ({ a, b, at, note }) => {
      b.pause().end();
      at(1, () => a.write('0123456789abcdef'));
      at(2, () => a.end());
      at(10, () => b.resume());
      at(11, () => note(`${b.text} ${b.ended}`));
    });
    expect(log).toContain('11 0123456789abcdef true');
    expect(log).toContain('10 complete');
  });

  it('throws for options that do not exist', () => {
    const bad = () => relay({} as SocketConnection, {} as SocketConnection, { wait: 5 } as object);
    expect(bad).toThrow('Cannot relay: options: there is no option');
  });
});

describe('serve with a relay', () => {
  it('ends with the client, reports why, and drains', () => {
    const types: string[] = [];
    marbles(({ clock, flush }) => {
      const [front, back] = [new MemoryNetwork(clock), new MemoryNetwork(clock)];
      const backend = { transport: back.transport, scheduler: clock };
      listen({ port: 0 }, backend)
        .pipe(
          mergeMap((connection) =>
            connection.pipe(
              connection.send(),
              catchError(() => EMPTY),
            ),
          ),
        )
        .subscribe();
      const signal = new Promise<void>(() => {});
      const log = Log.follow(
        serve(
          { port: 0 },
          (client) => connect({ port: 1 }, backend).pipe(mergeMap((connection) => relay(client, connection))),
          { transport: front.transport, scheduler: clock, shutdown: signal, idle: 500 },
        ),
      );
      const client = front.connect();
      client.write('hello');
      clock.schedule(() => client.end(), 5);
      const other = front.connect();
      other.write('then nothing');
      clock.schedule(() => types.push(client.text, other.text, `${client.ended}`), 10);
      clock.schedule(() => log.subscription?.unsubscribe(), 3000);
      flush();
      types.push(...log.closes, `${other.ended} ${other.reset}`);
      expect(front.sockets.size + back.sockets.size).toBe(0);
    })();
    expect(types).toEqual(['hello', 'then nothing', 'true', 'ended', 'idle', 'true false']);
  });
});

describe('serve with a relay, while the client does not read', () => {
  it('still reads from the client, because the backend may wait for that input', () => {
    const received: string[] = [];
    marbles(({ clock, flush }) => {
      const [front, back] = [new MemoryNetwork(clock), new MemoryNetwork(clock)];
      const backend = { transport: back.transport, scheduler: clock };
      listen({ port: 0 }, backend).subscribe((connection) => {
        void connection.write('more than the client takes');
        connection
          .pipe(catchError(() => EMPTY))
          .subscribe((chunk) => received.push(`${clock.now()} ${Buffer.from(chunk)}`));
      });
      const subscription = serve(
        { port: 0 },
        (client) => connect({ port: 1 }, backend).pipe(mergeMap((connection) => relay(client, connection))),
        { transport: front.transport, scheduler: clock, highWaterMark: 4 },
      ).subscribe();
      const client = front.connect({ window: 10 }).pause();
      for (const ms of [5, 10]) clock.schedule(() => client.write(`at ${ms}`), ms);
      clock.schedule(() => subscription.unsubscribe(), 15);
      flush();
    })();
    expect(received).toEqual(['5 at 5', '10 at 10']);
  });
});

describe.each(['handle', 'net'])('relay, on real sockets (transport: %s)', (transport) => {
  beforeEach(() => void vi.stubEnv('SLUICE_TRANSPORT', transport));
  afterEach(() => void vi.unstubAllEnvs());

  it('passes on all bytes, however they are split and however slowly they are read', async () => {
    const far = await openConnections((connection) => {
      connection.pipe(connection.send()).subscribe({ error: () => undefined });
    });
    const near = await openConnections((connection) => {
      connect({ port: far.address.port ?? 0, host: '127.0.0.1' })
        .pipe(mergeMap((backend) => relay(connection, backend)))
        .subscribe({ error: () => undefined });
    });
    const pieces = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 3_000_000 }), pieces, fc.boolean(), async (length, lengths, slow) => {
        // The client is a plain socket of Node, for which more than a million pieces are too many.
        const most = 10_000 * Math.max(...lengths);
        const sent = Buffer.alloc(Math.min(length, most), Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
        const client = dial({ port: near.address.port ?? 0, host: '127.0.0.1', allowHalfOpen: true });
        const received = readAll(client);
        if (slow) {
          client.on('data', () => {
            client.pause();
            setImmediate(() => client.resume());
          });
        }
        for (const piece of chop(sent, lengths)) client.write(piece);
        client.end();
        expect((await received).equals(sent)).toBe(true);
        if (!client.closed) await once(client, 'close');
      }),
      { numRuns: 15 },
    );
    near.port.close();
    far.port.close();
    expect(new Set(near.owner.ends.map(({ reason }) => reason))).toEqual(new Set(['ended']));
  });
});
