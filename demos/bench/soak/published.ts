import { Child } from './child.ts';
import { atMost, dial, exactly, MIB, type Soak } from './measure.ts';

/** 300 MB are published to a member that never reads. */
export const published: Soak = {
  name: '300 MB for a member that does not read',
  async run() {
    const child = await Child.start('published', { stall: 1000, idle: 60_000, greeting: 60_000 });
    // Publish without a member first, because the memory of publishing itself does not count as growth.
    await child.ask({ ask: 'publish', count: 300_000, bytes: 1000, rate: 200 });
    await child.until((answer) => !answer.publishing, 60_000, 'the engine is warm');
    const client = (await dial(child.port)).pause();
    const before = child.watch();
    await child.ask({ ask: 'publish', count: 300_000, bytes: 1000, rate: 200 });
    const { closed, closedAfter } = await child.until((answer) => !answer.publishing, 60_000, 'all published');
    const grown = child.peak - before;
    client.destroy();
    await child.stop();
    return [
      atMost(`RSS grows by, with 300 MB published and 1 MiB allowed`, grown / MIB, 1 + 32, 'MiB'),
      atMost('closed after', closedAfter ?? Number.POSITIVE_INFINITY, 1500, 'ms'),
      exactly('closed, by reason', closed, { 'slow-consumer': 1 }),
    ];
  },
};
