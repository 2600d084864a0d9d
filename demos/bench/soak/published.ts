import { Child } from './child.ts';
import { atMost, dial, exactly, MIB, type Soak } from './measure.ts';

/** 300 MB are published to one who never reads. */
export const published: Soak = {
  name: '300 MB for one who stopped',
  async run() {
    const child = await Child.start('published', { stall: 1000, idle: 60_000, greeting: 60_000 });
    // What publishing itself takes is not what grows by one who does not read.
    await child.ask({ ask: 'publish', count: 150_000, bytes: 1000, rate: 200 });
    await child.until((answer) => !answer.publishing, 60_000, 'the engine is warm');
    const client = (await dial(child.port)).pause();
    const before = child.watch();
    await child.ask({ ask: 'publish', count: 300_000, bytes: 1000, rate: 200 });
    const { closed, cutAfter, handled } = await child.until((answer) => !answer.publishing, 60_000, 'all published');
    const grown = child.peak - before;
    client.destroy();
    await child.stop();
    return [
      atMost(`RSS grows by, with ${handled / 1e6} MB published and 1 MiB allowed`, grown / MIB, 1 + 32, 'MiB'),
      atMost('cut after', cutAfter ?? Number.POSITIVE_INFINITY, 1500, 'ms'),
      exactly('closed, by reason', closed, { 'slow-consumer': 1 }),
    ];
  },
};
