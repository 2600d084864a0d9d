import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { authority } from '../../../spec/support/certificates.ts';
import { hello } from '../../../spec/support/clientHello.ts';
import { Child } from './child.ts';
import { atMost, dial, exactly, MIB, type Soak } from './measure.ts';
import { secured, visit } from './secureClients.ts';

/** Connections under way at a time. */
const AT_A_TIME = 10;

/** Waits until the server has closed a connection. An error is expected here, and `once` would be rejected with it. */
const whenClosed = (socket: Socket) =>
  new Promise<void>((resolve) =>
    socket
      .on('error', () => undefined)
      .on('close', () => resolve())
      .resume(),
  );

const firstMessage = hello();

/** Ways to fail in a handshake. */
const failures: ((port: number) => Promise<void>)[] = [
  // No TLS.
  async (port) => {
    const socket = await dial(port);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await whenClosed(socket);
  },
  // A version that the server does not accept.
  async (port) => {
    const options = { port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false } as const;
    const socket = connect(options);
    await whenClosed(socket);
  },
  // Half a message, and a FIN.
  async (port) => {
    const socket = await dial(port);
    socket.end(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252]));
    await whenClosed(socket);
  },
  // A RST when the server has answered the first message.
  async (port) => {
    const socket = await dial(port);
    socket.write(await firstMessage);
    await once(socket, 'data', { signal: AbortSignal.timeout(20_000) });
    socket.resetAndDestroy();
  },
];

/** Asks for TLS on a new connection. @param more Sent behind the command, in clear text. */
async function asked(port: number, more = ''): Promise<Socket> {
  const socket = await dial(port);
  socket.write(`STARTTLS\n${more}`);
  if (more === '') await once(socket, 'data', { signal: AbortSignal.timeout(20_000) });
  return socket;
}

/** Ways to fail when TLS begins in the middle of a conversation. */
const failedUpgrades: ((port: number) => Promise<void>)[] = [
  async (port) => whenClosed(await asked(port, 'a command in clear text\n')),
  async (port) => {
    const socket = await asked(port);
    socket.write('no TLS\n');
    await whenClosed(socket);
  },
  async (port) => {
    const socket = await asked(port);
    socket.end();
    await whenClosed(socket);
  },
  async (port) => {
    const socket = await asked(port);
    socket.end(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252]));
    await whenClosed(socket);
  },
];

/** Connections that fail in the handshake, are reset in the middle of a reply, or end in good order. Nothing is leaked. */
export const secureLeak: Soak = leak('tls-leak', false);

/** The same where TLS begins in the middle of a conversation. */
export const upgradeLeak: Soak = leak('starttls-leak', true);

function leak(name: string, upgrades: boolean): Soak {
  return { name, run: ({ quick }) => comeAndGo(upgrades, quick) };
}

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, each) => all + each, 0);

async function comeAndGo(upgrades: boolean, quick: boolean) {
  const count = quick ? 1500 : 20_000;
  const warmth = quick ? 900 : 3000;
  const root = await authority();
  const tls = { ...(await root.issue()), minVersion: 'TLSv1.3' };
  const child = await Child.start(upgrades ? 'starttls' : 'echo', { tls });
  const ways = upgrades ? failedUpgrades : failures;
  const begin = upgrades ? asked : dial;
  const client = { port: child.port, ca: root.ca, servername: 'localhost' };
  const came = { failing: 0, reset: 0, served: 0 };
  const one = async (index: number) => {
    const kind = index % 3;
    if (kind === 0) {
      came.failing++;
      await ways[(index / 3) % ways.length]?.(child.port);
    } else if (kind === 1) {
      came.reset++;
      const raw = await begin(child.port);
      const socket = await secured({ ...client, socket: raw });
      socket.write(upgrades ? 'a line\n' : 'endless\n');
      await once(socket, 'data', { signal: AbortSignal.timeout(20_000) });
      raw.resetAndDestroy();
    } else {
      came.served++;
      await visit(upgrades ? { ...client, socket: await asked(child.port) } : client);
    }
  };
  const round = async (count: number) => {
    for (let at = 0; at < count; at += AT_A_TIME) {
      await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => one(at + i)));
    }
    const all = came.failing + came.reset + came.served;
    await child.until(({ closed, refused }) => sum(closed) + sum(refused) === all, 30_000, 'all are closed');
    await pause(500);
    const answer = await child.ask({ ask: 'heap' });
    return { ...answer, resident: child.resident, descriptors: child.descriptors };
  };
  const before = await round(warmth);
  const after = await round(count);
  await child.stop();
  // A connection that fails in an upgrade was served before, so it is closed and not refused.
  const failed = { ...after.refused, ...(after.closed.tls !== undefined && { tls: after.closed.tls }) };
  return [
    exactly('closed, by reason', after.closed, { ...after.closed, ended: came.served, reset: came.reset }),
    exactly(`failed (${JSON.stringify(failed)})`, sum(failed), came.failing),
    exactly('descriptors grow by', after.descriptors - before.descriptors, 0),
    exactly('handles grow by', after.handles - before.handles, 0),
    // 8 bytes for each connection, and the noise of the heap.
    atMost(
      `heap grows by, in ${count} connections`,
      (after.heap - before.heap) / 1024,
      (8 * count) / 1024 + 1024,
      'KiB',
    ),
    atMost(
      `RSS grows by (from ${(before.resident / MIB).toFixed(0)} MiB)`,
      (after.resident - before.resident) / MIB,
      24,
      'MiB',
    ),
  ];
}
