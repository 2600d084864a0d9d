import { Child } from './child.ts';
import { atMost, dial, exactly, type Soak } from './measure.ts';

/** A million writes, each awaited, to a peer that reads with pauses: no listeners and no timers accumulate. */
export const manyWrites: Soak = {
  name: 'a million writes under backpressure',
  async run({ quick }) {
    const writes = quick ? 200_000 : 1_000_000;
    const child = await Child.start('writes', { writes });
    const client = await dial(child.port);
    let received = 0;
    let pauses = 0;
    client.on('data', (chunk) => {
      received += chunk.length;
      if (received / (2 * 1024 * 1024) < pauses + 1) return;
      pauses++;
      client.pause();
      setTimeout(() => client.resume(), 20);
    });
    await new Promise((resolve) => client.on('end', resolve));
    const {
      listeners,
      timers,
      writes: done,
      closed,
    } = await child.until((answer) => Object.keys(answer.closed).length > 0, 5000, 'closed');
    client.destroy();
    await child.stop();
    return [
      exactly('writes, and bytes received', [done, received], [writes, writes * 64]),
      exactly('listeners on the socket, minimum and maximum', listeners, [listeners[0], listeners[0]]),
      // One is the watchdog of the connection, and one polls the sockets that are not read.
      atMost('timers of the process, maximum', timers[1] ?? 0, 2, ''),
      exactly('closed, by reason', closed, { completed: 1 }),
    ];
  },
};
