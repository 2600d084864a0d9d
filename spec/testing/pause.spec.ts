import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { Port, PortHandler, TransportSocket } from '../../lib/transport/transport.ts';
import { marbles } from '../support/marbles.ts';

const OPTIONS = { backlog: 1, noDelay: true, keepAlive: false } as const;

interface At {
  readonly network: MemoryNetwork;
  readonly port: Port;
  /** The ports of the clients that were accepted, in order. */
  readonly accepted: (number | undefined)[];
  readonly sockets: TransportSocket[];
  /** Runs all that is due. */
  readonly flush: () => void;
}

/** An open port on virtual time. @param after Called within `accepted`. */
function withPort(test: (at: At) => void, after = (_at: At) => {}): void {
  marbles(({ clock, flush }) => {
    const network = new MemoryNetwork(clock);
    const accepted: (number | undefined)[] = [];
    const sockets: TransportSocket[] = [];
    const handler: PortHandler = {
      listening() {},
      error: (error) => expect.fail(error.message),
      accepted: (socket) => {
        socket.handler = NO_HANDLER;
        accepted.push(socket.peer.port);
        sockets.push(socket);
        after(at);
      },
    };
    const port = network.transport.listen({ port: 0 }, OPTIONS, handler);
    const at = { network, port, accepted, sockets, flush };
    flush();
    test(at);
  })();
}

const clientAt = (network: MemoryNetwork, port: number) => network.connect({ address: { address: '10.0.0.1', port } });

describe('a port in memory that is paused', () => {
  it('accepts none until it resumes, and then all in order', () => {
    withPort(({ network, port, accepted, flush }) => {
      expect([port.pause?.(), port.pause?.()]).toEqual([true, true]);
      for (const number of [1, 2, 3]) clientAt(network, number);
      flush();
      expect([accepted, network.sockets.size]).toEqual([[], 0]);
      port.resume?.();
      port.resume?.();
      expect(accepted).toEqual([]);
      flush();
      expect([accepted, network.sockets.size]).toEqual([[1, 2, 3], 3]);
    });
  });

  it('accepts one connection for each resume, if each accept pauses it', () => {
    const test = ({ network, port, accepted, flush }: At) => {
      for (const number of [1, 2, 3]) clientAt(network, number);
      flush();
      expect(accepted).toEqual([1]);
      // After a pause and a resume within one task, too.
      port.resume?.();
      port.pause?.();
      port.resume?.();
      flush();
      expect(accepted).toEqual([1, 2]);
      port.resume?.();
      flush();
      expect(accepted).toEqual([1, 2, 3]);
    };
    withPort(test, ({ port }) => port.pause?.());
  });

  it('resets the clients in its queue when it closes, in a later task, and does nothing from then on', () => {
    withPort(({ network, port, accepted, flush }) => {
      port.pause?.();
      const clients = [clientAt(network, 1), clientAt(network, 2)];
      flush();
      port.close();
      expect(clients.map(({ reset }) => reset)).toEqual([false, false]);
      port.resume?.();
      expect(port.pause?.()).toBe(false);
      flush();
      expect(clients.map(({ reset }) => reset)).toEqual([true, true]);
      expect([accepted, network.sockets.size]).toEqual([[], 0]);
    });
  });

  it('accepts clients that have sent bytes, a FIN or a RST in the queue', () => {
    const notified: string[] = [];
    withPort(
      ({ network, port, flush }) => {
        port.pause?.();
        clientAt(network, 1).write('bye').end();
        clientAt(network, 2).break();
        flush();
        port.resume?.();
        flush();
      },
      ({ sockets, accepted }) => {
        const socket = sockets.at(-1) as TransportSocket;
        const number = accepted.at(-1);
        const note = (what: string) => notified.push(`${number} ${what}`);
        socket.handler = {
          ...NO_HANDLER,
          received: (bytes) => note(String(Buffer.from(bytes))),
          peerEnded: () => note('FIN'),
          failed: (error) => note(error.message),
        };
        socket.resume();
      },
    );
    expect(notified.toSorted()).toEqual(['1 FIN', '1 bye', '2 read ECONNRESET']);
  });

  it('lets a connect by the transport succeed, and resets it if it closes', () => {
    const notified: string[] = [];
    withPort(({ network, port, accepted, flush }) => {
      port.pause?.();
      network.transport.connect?.({ port: 0 }, OPTIONS, {
        connected: (socket) => {
          notified.push('connected');
          socket.handler = { ...NO_HANDLER, failed: (error) => notified.push(error.message) };
          socket.resume();
        },
        failed: (error) => notified.push(error.message),
      });
      flush();
      expect(notified).toEqual(['connected']);
      port.close();
      flush();
      expect([accepted, network.sockets.size]).toEqual([[], 0]);
    });
    expect(notified).toEqual(['connected', 'read ECONNRESET']);
  });

  it('runs on microtasks, too', async () => {
    const network = new MemoryNetwork();
    let accepted = 0;
    const handler = {
      listening() {},
      error() {},
      accepted: (socket: TransportSocket) => {
        socket.handler = NO_HANDLER;
        accepted++;
        if (accepted === 2) port.pause?.();
      },
    };
    const port = network.transport.listen({ port: 0 }, OPTIONS, handler);
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    await turn();
    port.pause?.();
    for (let count = 0; count < 4; count++) network.connect();
    await turn();
    port.resume?.();
    await turn();
    expect(accepted).toBe(2);
    port.resume?.();
    await turn();
    expect(accepted).toBe(4);
  });

  it('cannot pause before it is open, or if its network cannot', () => {
    marbles(({ clock, flush }) => {
      const network = new MemoryNetwork(clock);
      let accepted = 0;
      const port = network.transport.listen({ port: 0 }, OPTIONS, {
        listening() {},
        error() {},
        accepted: (socket) => {
          socket.handler = NO_HANDLER;
          accepted++;
        },
      });
      expect(port.pause?.()).toBe(false);
      flush();
      network.canPause = false;
      expect(port.pause?.()).toBe(false);
      network.connect();
      flush();
      expect(accepted).toBe(1);
      network.canPause = true;
      expect(port.pause?.()).toBe(true);
    })();
  });

  it('accepts each client once and in order, or resets it, whatever happens', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('connect' as const) },
      { weight: 2, arbitrary: fc.constantFrom('pause' as const, 'resume' as const) },
      { weight: 2, arbitrary: fc.constant('flush' as const) },
    );
    const within = fc.infiniteStream(fc.constantFrom('pause', 'resume', 'pause and resume', 'nothing'));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), within, fc.boolean(), (steps, reactions, closes) => {
        let isPaused = false;
        const call = (at: At, what: 'pause' | 'resume') => {
          if (what === 'pause') expect(at.port.pause?.()).toBe(true);
          else at.port.resume?.();
          isPaused = what === 'pause';
        };
        const test = (at: At) => {
          const clients: MemoryClient[] = [];
          for (const what of steps) {
            if (what === 'connect') clients.push(clientAt(at.network, clients.length));
            else if (what === 'flush') at.flush();
            else call(at, what);
          }
          at.flush();
          const wait = clients.length - at.accepted.length;
          expect(wait === 0 || isPaused).toBe(true);
          if (closes) at.port.close();
          for (let round = 0; round <= clients.length; round++) {
            call(at, 'resume');
            at.flush();
          }
          const expected = clients.length - (closes ? wait : 0);
          expect(at.accepted).toEqual(Array.from({ length: expected }, (_, number) => number));
          expect(clients.map(({ reset }) => reset)).toEqual(clients.map((_, number) => number >= expected));
        };
        withPort(test, (at) => {
          expect(isPaused).toBe(false);
          const { value } = reactions.next();
          if (value.startsWith('pause')) call(at, 'pause');
          if (value.endsWith('resume')) call(at, 'resume');
        });
      }),
    );
  });
});
