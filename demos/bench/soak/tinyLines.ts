import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, exactly, Pinger, percentiles, type Soak } from './measure.ts';

/** A million one-byte lines in one write, repeated: no stack overflow, no quadratic time, and other connections are served. */
export const tinyLines: Soak = {
  name: 'a million one-byte lines',
  async run({ quick }) {
    const rounds = quick ? 4 : 20;
    const child = await Child.start('echo');
    const flood = async (count: number) => {
      const client = await dial(child.port);
      const begun = performance.now();
      let received = 0;
      client.on('data', (chunk) => {
        received += chunk.length;
      });
      client.end(Buffer.alloc(2 * count, 'x\n'));
      await new Promise((resolve) => client.on('close', resolve));
      return { received, took: performance.now() - begun };
    };
    await flood(1_000_000);
    const pinger = await Pinger.start(child.port);
    await pause(500);
    pinger.take();
    const large: number[] = [];
    const small: number[] = [];
    let received = 0;
    for (let round = 0; round < rounds; round++) {
      const one = await flood(1_000_000);
      received += one.received;
      large.push(one.took);
      small.push((await flood(250_000)).took);
    }
    const { p99 } = percentiles(pinger.take());
    pinger.stop();
    await child.stop();
    return [
      exactly(`bytes received of ${rounds} floods`, received, rounds * 2_000_000),
      // 4 is linear, 16 is quadratic.
      atMost('four times as many lines take longer by', percentiles(large).p50 / percentiles(small).p50, 8, '×'),
      atMost('a concurrent round trip of another connection, p99', p99, 20, 'ms'),
    ];
  },
};
