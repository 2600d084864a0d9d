import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, MIB, type Soak } from './measure.ts';

/**
 * Much is sent into a handler that is slow: memory does not grow, and the sender is held back by TCP.
 *
 * Chunks that are handed out are copies, and V8 lets 32 MiB of them gather as garbage before it looks. That goes up and down all
 * the time, so the most that was seen is compared with the most that was seen in the warm-up. Where the handler works off
 * what lies in the read buffer there are no copies, and it is compared with what was there when it began.
 */
const slow = (name: string, mode: 'slow' | 'slow-in-place'): Soak => ({
  name,
  async run({ quick }) {
    const bytes = quick ? 128 * MIB : 1024 * MIB;
    const warmth = 128 * MIB;
    const child = await Child.start(mode, { idle: 120_000 });
    const client = await dial(child.port);
    const block = Buffer.alloc(64 * 1024, 'x');
    let accepted = 0;
    const send = async (upTo: number) => {
      while (accepted < upTo) {
        await new Promise((resolve) => client.write(block, resolve));
        accepted += block.length;
      }
    };
    const handled = (upTo: number) => child.until((answer) => answer.handled >= upTo, 120_000, `${upTo} bytes handled`);
    // What the engine takes for its own when it is warm is not what grows.
    child.watch();
    await send(warmth);
    await handled(warmth);
    const { peak } = child;
    const now = child.watch();
    const before = mode === 'slow' ? peak : now;
    const begun = performance.now();
    const sending = send(warmth + bytes);
    let ahead = 0;
    let sent = false;
    void sending.then(() => {
      sent = true;
    });
    while (!sent) {
      const taken = accepted;
      ahead = Math.max(ahead, taken - (await child.ask()).handled);
      await pause(100);
    }
    await handled(warmth + bytes);
    const took = performance.now() - begun;
    const grown = child.peak - before;
    client.destroy();
    await child.stop();
    return [
      atMost(
        `RSS grows by, while ${bytes / MIB} MiB come at ${(bytes / MIB / (took / 1000)).toFixed(0)} MiB/s`,
        grown / MIB,
        // On a machine that stops now and then a read is kept, which is a copy, too; in the short form all that the engine lets
        // gather is allowed, of four times as much that came.
        quick ? 8 + 32 : 8,
        'MiB',
      ),
      atMost('the sender is ahead of the handler by', ahead / MIB, 16, 'MiB'),
    ];
  },
});

export const slowHandler = slow('slow handler', 'slow');
export const slowInPlace = slow('slow handler, in place', 'slow-in-place');
