import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import type { SocketHandler, TransportSocket } from '../../lib/transport/transport.ts';
import { iteration } from '../support/clock.ts';
import { uncaughtWhile } from '../support/uncaught.ts';
import { acceptedPairs, type Pair, type Source } from './observedPair.ts';

type What = keyof SocketHandler;

/** What brings each notification about. */
const causes: Record<What, (socket: TransportSocket, peer: Socket) => void> = {
  received(socket, peer) {
    socket.resume();
    peer.write('hello');
  },
  peerEnded(socket, peer) {
    socket.resume();
    peer.end();
  },
  writable(socket) {
    socket.resume();
    socket.write(Buffer.alloc(8 * 1024 * 1024));
  },
  finished(socket) {
    socket.resume();
    socket.end();
  },
  writeFailed(socket, peer) {
    peer.resetAndDestroy();
    // The first write may still be taken.
    const write = () => {
      if (socket.write('x')) setImmediate(write);
    };
    write();
  },
  failed(socket, peer) {
    socket.resume();
    peer.resetAndDestroy();
  },
  freed: (socket) => socket.destroy(),
};

const calls: Record<string, (socket: TransportSocket) => void> = {
  pause: (socket) => socket.pause(),
  resume: (socket) => socket.resume(),
  write: (socket) => void socket.write('y'),
  'a large write': (socket) => void socket.write(Buffer.alloc(4 * 1024 * 1024)),
  end: (socket) => socket.end(),
  reset: (socket) => socket.reset(),
  destroy: (socket) => socket.destroy(),
};

const whats = Object.keys(causes) as What[];

/** No write may follow our FIN. */
const isAllowed = (what: What, all: readonly string[]) => {
  const ended = what === 'finished' ? 0 : all.indexOf('end');
  return ended < 0 || !all.slice(ended).some((call) => call.endsWith('write'));
};

const names = Object.keys(calls);
const twice = names.flatMap((one) => names.map((other) => [one, other]));

const weEnd = ({ socket }: Pair): void => socket.end();
const peerEnds = ({ peer }: Pair): void => void peer.end();

describe.each([
  ['handle', nodeTransport],
  ['net', netTransport],
] as const)('a handler (transport: %s)', (_name, transport) => {
  let source: Source;
  beforeAll(async () => {
    source = await acceptedPairs(transport);
  });
  afterAll(() => source.close());

  /** Brings a notification about, and does `work` within it. Then destroys the socket, and waits until it is freed. */
  async function within(what: What, work: (pair: Pair) => void, after?: (pair: Pair) => Promise<void>) {
    const pair = await source.next();
    const { socket, peer } = pair;
    const notified: string[] = [];
    const { handler } = socket;
    const recorded = {} as Record<What, (value?: unknown) => void>;
    let isDone = false;
    for (const name of whats)
      recorded[name] = () => {
        notified.push(name);
        if (name !== what || isDone) return;
        isDone = true;
        work(pair);
      };
    socket.handler = { ...handler, ...recorded };
    const until = async (holds: () => boolean) => {
      while (!holds()) await iteration();
    };
    causes[what](socket, peer);
    await until(() => isDone);
    await iteration();
    await after?.(pair);
    socket.destroy();
    if (!peer.destroyed) {
      peer.destroy();
      await once(peer, 'close');
    }
    await until(() => notified.includes('freed'));
    await iteration();
    // Once, and last.
    expect(notified.indexOf('freed')).toBe(notified.length - 1);
    return notified;
  }

  it.each(whats)('may call any two methods within %s', async (what) => {
    for (const all of twice) {
      if (!isAllowed(what, all)) continue;
      await within(what, ({ socket }) => {
        for (const name of all) calls[name]?.(socket);
      });
    }
  });

  it.each(whats)('that throws within %s is notified of what follows, and the socket goes on', async (what) => {
    const thrown = await uncaughtWhile(async () => {
      const notified = await within(
        what,
        () => {
          throw new Error('on purpose');
        },
        async ({ socket, peer }) => {
          if (peer.destroyed || peer.writableEnded || what === 'freed') return;
          const more = new Promise<string>((resolve) => {
            const { handler } = socket;
            socket.handler = { ...handler, received: (chunk) => resolve(String(chunk)) };
          });
          peer.write('more');
          expect(await more).toBe('more');
        },
      );
      expect(notified).toContain(what);
    });
    expect(thrown).toEqual(['on purpose']);
  });

  it.each([
    ["the peer's FIN", 'peerEnded', 'finished', peerEnds, weEnd],
    ['our FIN', 'finished', 'peerEnded', weEnd, peerEnds],
  ] as const)(
    'that throws on %s, which is the second one, is notified that the socket is freed',
    async (_fin, what, first, last, before) => {
      const pair = await source.next();
      const { socket, peer } = pair;
      const notified: string[] = [];
      const thrown = await uncaughtWhile(async () => {
        await new Promise<void>((freed) => {
          const at = (name: What) => (): void => {
            notified.push(name);
            if (name === first) last(pair);
            if (name === what) throw new Error('on purpose');
          };
          socket.handler = { ...socket.handler, peerEnded: at('peerEnded'), finished: at('finished'), freed };
          socket.resume();
          before(pair);
        });
      });
      expect([notified, thrown]).toEqual([[first, what], ['on purpose']]);
      peer.destroy();
    },
  );
});
