import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, exactly, MIB, Pinger, percentiles, type Soak } from './measure.ts';

/** A thousand peers request an endless reply each, and never read. Each could hold more than its share of the budget. */
export const neverReading: Soak = {
  name: 'peers that do not read',
  async run({ quick }) {
    const count = quick ? 400 : 1000;
    const budget = (quick ? 160 : 256) * MIB;
    const stall = quick ? 2000 : 10_000;
    const patience = { greeting: 120_000, idle: 120_000 };
    // Without a pace, so that only the stall deadline applies: the kernel's buffers could take minutes to reach a slow reader.
    const pace = { out: 0 };
    const child = await Child.start('echo', { budget, stall, pace, highWaterMark: MIB / 2, ...patience });
    // Warm up first, because the memory that the engine takes for itself does not count as growth.
    const reader = (await dial(child.port)).resume();
    reader.write('endless\n');
    await pause(1500);
    reader.destroy();
    await child.until((answer) => answer.closed.reset === 1, 5000, 'the reader is closed');
    const pinger = await Pinger.start(child.port);
    await pause(quick ? 1000 : 5000);
    pinger.take();
    await pause(quick ? 1000 : 5000);
    const calm = percentiles(pinger.take());
    const before = child.watch();
    const peers = await Promise.all(Array.from({ length: count }, () => dial(child.port)));
    // Pause, because a thousand connects at once keep this process busy, and delay its own round trips.
    await pause(500);
    pinger.take();
    for (const peer of peers) peer.pause().write('endless\n');
    const { closed } = await child.until(
      (answer) => Object.values(answer.closed).reduce((sum, count) => sum + count, 0) >= count + 1,
      stall + 60_000,
      'all closed',
    );
    const busy = percentiles(pinger.take());
    pinger.stop();
    for (const peer of peers) peer.destroy();
    const grown = child.peak - before;
    await child.stop();
    return [
      atMost(`RSS grows by, with a budget of ${budget / MIB} MiB`, grown / MIB, (1.2 * budget) / MIB, 'MiB'),
      exactly(
        'closed as slow consumers, or evicted because other connections needed the memory',
        (closed['slow-consumer'] ?? 0) + (closed.evicted ?? 0),
        count,
      ),
      atMost(`a healthy round trip, p50 (before: ${calm.p50.toFixed(2)} ms)`, busy.p50, 5 * calm.p50, 'ms'),
      // The kernel copies gigabytes meanwhile, on two shared cores: the tail is that of the machine.
      atMost(
        `a healthy round trip, p99 (before: ${calm.p99.toFixed(2)} ms)`,
        busy.p99,
        Math.max(5 * calm.p99, 50),
        'ms',
      ),
    ];
  },
};
