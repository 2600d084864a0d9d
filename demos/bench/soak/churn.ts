import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, exactly, type Soak } from './measure.ts';

/** Connect, request, reply, reset; again and again. No descriptor and no memory is leaked. */
export const churn: Soak = {
  name: 'connect, echo, reset',
  async run({ quick }) {
    const count = quick ? 3000 : 300_000;
    const child = await Child.start('echo');
    const visit = async () => {
      const client = await dial(child.port);
      client.write('ping\n');
      await once(client, 'data');
      client.resetAndDestroy();
    };
    const visits = async (count: number) => {
      for (let left = count; left > 0; left -= 20) await Promise.all(Array.from({ length: 20 }, visit));
    };
    const closed = (count: number) =>
      child.until((answer) => (answer.closed.reset ?? 0) >= count, 60_000, `${count} closed`);
    await visits(2000);
    await closed(2000);
    await pause(200);
    const { heap } = await child.ask({ ask: 'heap' });
    const descriptors = child.descriptors;
    await visits(count);
    await closed(2000 + count);
    await pause(200);
    const after = await child.ask({ ask: 'heap' });
    const found = child.descriptors;
    await child.stop();
    return [
      exactly('descriptors grow by', found - descriptors, 0),
      exactly('closed, by reason', after.closed, { reset: 2000 + count }),
      // 8 bytes for each connection, and the noise of the heap.
      atMost(`heap grows by, in ${count} connections`, (after.heap - heap) / 1024, (8 * count) / 1024 + 512, 'KiB'),
    ];
  },
};
