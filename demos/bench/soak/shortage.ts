import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { cgroup } from './cgroup.ts';
import { type Answer, Child } from './child.ts';
import { atMost, dial, exactly, type Finding, MIB, type Soak } from './measure.ts';

const PATIENT = { idle: 120_000, greeting: 120_000, stall: 120_000, frame: 120_000, maxOutbound: 64 * MIB };

/** Sends a request on a new connection, again and again, until one is answered. @returns How long that took, in milliseconds. */
async function whenServed(port: number, within: number): Promise<number> {
  const begun = performance.now();
  while (performance.now() - begun < within) {
    const client = connect(port, '127.0.0.1');
    client.on('error', () => undefined);
    client.write('1\n');
    const answered = await Promise.race([
      once(client, 'data').then(
        () => true,
        () => false,
      ),
      once(client, 'close').then(() => false),
      pause(within).then(() => false),
    ]);
    client.destroy();
    if (answered) return performance.now() - begun;
    await pause(20);
  }
  return Number.POSITIVE_INFINITY;
}

const leave = (clients: readonly Socket[]) => {
  for (const client of clients) client.destroy();
};

/** Reads one byte every so many milliseconds, as long as the connection is open. */
function readSlowly(client: Socket, every: number): void {
  client.pause();
  const timer = setInterval(() => client.read(1), every);
  client.on('close', () => clearInterval(timer));
}

/** Three peers that read single bytes hold more memory than the hard limit. */
export const singleBytes: Soak = {
  name: 'peers that read single bytes past the hard limit',
  async run() {
    const budget = 24 * MIB;
    const child = await Child.start('large', { ...PATIENT, budget });
    const peers = await Promise.all(Array.from({ length: 3 }, () => dial(child.port)));
    for (const peer of peers) {
      readSlowly(peer, 500);
      peer.write(`${20 * MIB}\n`);
    }
    await pause(500);
    const served = await whenServed(child.port, 10_000);
    const { closed } = await child.ask();
    leave(peers);
    await child.stop();
    return [
      // It takes a while, because bytes that fill the kernel's buffers count as read at first.
      atMost('a new client is answered after', served, 6000, 'ms'),
      exactly('peers are evicted', (closed.evicted ?? 0) > 0, true),
    ];
  },
};

/** 200 connections request 8 MB each, once, and never read. */
const neverReading = (name: string, every: number): Soak => ({
  name,
  async run({ quick }) {
    const budget = 50_000_000;
    const reply = 8_000_000;
    const child = await Child.start('large', { ...PATIENT, budget });
    const peers = await Promise.all(Array.from({ length: 200 }, () => dial(child.port)));
    const before = child.watch();
    for (const peer of peers) {
      peer.pause().write(`${reply}\n`);
      if (every > 0) await pause(every);
    }
    await pause(quick ? 2000 : 60_000);
    const grown = child.peak - before;
    const served = quick ? undefined : await whenServed(child.port, 120_000);
    leave(peers);
    await child.stop();
    return [
      // During shortages one connection after another is evicted. Their replies are garbage until V8 collects it: ten such
      // replies have been observed.
      atMost(`RSS grows by, with a budget of ${budget / 1e6} MB`, grown / 1e6, (1.2 * budget + 11 * reply) / 1e6, 'MB'),
      // The new client waits behind the earlier ones, some of which are evicted every few seconds.
      ...(served === undefined ? [] : [atMost('a new client is answered after', served, 120_000, 'ms')]),
    ];
  },
});

export const allAtOnce = neverReading('200 unread large replies, at once', 0);
export const oneByOne = neverReading('200 unread large replies, one every 20 ms', 20);

/** Two parts of frames, each larger than the budget, that never end. */
export const halfFrames: Soak = {
  name: 'parts of frames past the budget',
  async run() {
    const child = await Child.start('large', { ...PATIENT, idle: 3_600_000, frame: 5000, budget: 8 * MIB });
    const peers = await Promise.all([9, 12].map(() => dial(child.port)));
    const before = child.watch();
    for (const [i, peer] of peers.entries()) peer.write(Buffer.alloc((i === 0 ? 9 : 12) * MIB, '1'));
    await pause(500);
    const served = await whenServed(child.port, 20_000);
    const isClosed = ({ closed }: Answer) => (closed.evicted ?? 0) + (closed.deadline ?? 0) > 0;
    await child.until(isClosed, 10_000, 'one is evicted, or closed by its deadline');
    const grown = child.peak - before;
    leave(peers);
    await child.stop();
    return [
      // A carry grows by doubling, and its previous, smaller buffers are garbage.
      atMost('RSS grows by', grown / MIB, 3 * 8 + 16, 'MiB'),
      atMost('a new client is answered after', served, 6000, 'ms'),
    ];
  },
};

/** 300 peers that do not read, with the default budget, in a cgroup: the kernel kills a process that exceeds its limit. */
export const confined: Soak = {
  name: '300 slow readers in a cgroup',
  async run({ quick }) {
    const limit = 256 * MIB;
    const group = cgroup(limit);
    if (group === undefined) return [exactly('not measured, because no cgroup can be made here', true, true)];
    const findings: Finding[] = [];
    try {
      const child = await Child.start('large', PATIENT, group.path);
      const peers = await Promise.all(Array.from({ length: 300 }, () => dial(child.port)));
      const before = child.watch();
      for (const peer of peers) peer.pause().write(`${4 * MIB}\n`);
      await pause(quick ? 3000 : 30_000);
      findings.push(
        exactly('the server is alive', child.alive, true),
        // A quarter of the limit, plus evicted data, which is garbage until V8 collects it.
        atMost('RSS grows by', (child.peak - before) / MIB, limit / 4 / MIB + 32, 'MiB'),
        atMost('the cgroup has used', group.peak() / MIB, limit / MIB, 'MiB'),
      );
      leave(peers);
      await child.stop();
      await pause(200);
    } finally {
      group.remove();
    }
    return findings;
  },
};
