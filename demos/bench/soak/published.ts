import { Child } from './child.ts';
import { atMost, dial, exactly, MIB, type Soak } from './measure.ts';

/** 300 MB are published to one who never reads. */
export const published: Soak = {
  name: '300 MB for one who never reads',
  async run() {
    const child = await Child.start('published', { stall: 1000, idle: 60_000, greeting: 60_000 });
    const client = (await dial(child.port)).pause();
    const before = child.watch();
    const begun = performance.now();
    let cut: number | undefined;
    await child.ask({ ask: 'publish', count: 300_000, bytes: 1000, rate: 200 });
    const { closed, handled } = await child.until(
      (answer) => {
        if (Object.keys(answer.closed).length > 0) cut ??= performance.now() - begun;
        return !answer.publishing;
      },
      60_000,
      'all published',
    );
    const grown = child.peak - before;
    client.destroy();
    await child.stop();
    return [
      atMost(`RSS grows by, with ${handled / 1e6} MB published and 1 MiB allowed`, grown / MIB, 1 + 32, 'MiB'),
      atMost('cut after', cut ?? Number.POSITIVE_INFINITY, 1500, 'ms'),
      exactly('closed, by reason', closed, { 'slow-consumer': 1 }),
    ];
  },
};
