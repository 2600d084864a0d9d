import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, MIB, type Soak } from './measure.ts';

/**
 * A fast sender and a slow handler: memory does not grow, and TCP backpressure slows down the sender.
 *
 * Chunks that the handler receives are copies, and V8 lets 32 MiB of garbage accumulate before it collects. So memory
 * oscillates, and its maximum is compared with the maximum of the warm-up. A handler that processes the read buffer in place
 * makes no copies, so there the maximum is compared with the memory at the start.
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
    // Warm up first, because the memory that the engine takes for itself does not count as growth.
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
        `RSS grows by, while ${bytes / MIB} MiB are received at ${(bytes / MIB / (took / 1000)).toFixed(0)} MiB/s`,
        grown / MIB,
        // On a machine with stalls the input retains a read now and then, which is a copy, too. The short form also allows the
        // 32 MiB of garbage that the engine lets accumulate; it receives four times as much.
        quick ? 8 + 32 : 8,
        'MiB',
      ),
      atMost('the sender is ahead of the handler by', ahead / MIB, 16, 'MiB'),
    ];
  },
});

export const slowHandler = slow('slow handler', 'slow');
export const slowInPlace = slow('slow handler, in place', 'slow-in-place');
