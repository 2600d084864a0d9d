import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, exactly, MIB, Pinger, percentiles, type Soak } from './measure.ts';

const PEERS = 1000;

/** A thousand peers ask for an endless reply each, and never read. */
export const neverReading: Soak = {
  name: 'peers that never read',
  async run({ quick }) {
    const budget = 64 * MIB;
    const stall = quick ? 3000 : 10_000;
    const child = await Child.start('echo', { budget, stall, greeting: 60_000, idle: 60_000 });
    const pinger = await Pinger.start(child.port);
    await pause(quick ? 1500 : 5000);
    pinger.take();
    await pause(quick ? 1500 : 5000);
    const calm = percentiles(pinger.take());
    const before = child.watch();
    const peers = await Promise.all(Array.from({ length: PEERS }, () => dial(child.port)));
    for (const peer of peers) peer.pause().write('endless\n');
    const { closed } = await child.until(
      (answer) => Object.values(answer.closed).reduce((sum, count) => sum + count, 0) >= PEERS,
      stall + 30_000,
      'all closed',
    );
    const busy = percentiles(pinger.take());
    pinger.stop();
    for (const peer of peers) peer.destroy();
    const grown = child.peak - before;
    await child.stop();
    return [
      atMost(`RSS grows by, with a budget of ${budget / MIB} MiB`, grown / MIB, (1.2 * budget) / MIB, 'MiB'),
      exactly('closed, by reason', closed, { 'slow-consumer': PEERS }),
      atMost(`a healthy round trip, p50 (before: ${calm.p50.toFixed(2)} ms)`, busy.p50, 5 * calm.p50, 'ms'),
      atMost(`a healthy round trip, p99 (before: ${calm.p99.toFixed(2)} ms)`, busy.p99, 5 * calm.p99, 'ms'),
    ];
  },
};
