import { NEVER, Subject } from 'rxjs';
import { type PortHandler, serve, type Transport } from '../../../lib/index.ts';
import { IdleSocket, LOOPBACK } from '../idleSocket.ts';
import { atMost, exactly, type Finding, percentiles, type Soak } from './measure.ts';

/** Aborts all connections of a simulated network at once: how long that takes, and for how long it blocks the event loop. */
async function tearDown(count: number) {
  const shutdown = new Subject<void>();
  let port: PortHandler | undefined;
  const transport: Transport = {
    listen(_where, _options, handler) {
      port = handler;
      queueMicrotask(() => handler.listening(LOOPBACK));
      return { close() {} };
    },
  };
  const done = new Promise<number>((resolve, reject) => {
    let aborted = 0;
    serve({ port: 0 }, () => NEVER, {
      transport,
      shutdown,
      concurrency: count,
      perAddress: { connections: count },
    }).subscribe({
      next: (event) => {
        if (event.type === 'drained') ({ aborted } = event);
      },
      error: reject,
      complete: () => resolve(aborted),
    });
  });
  await Promise.resolve();
  for (let i = 0; i < count; i++) port?.accepted(new IdleSocket());
  let longest = 0;
  let last = performance.now();
  let running = true;
  const iteration = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(iteration);
  };
  iteration();
  shutdown.next();
  // Wait until the port is closed, so that only the teardown of connections is measured.
  await new Promise((resolve) => setTimeout(resolve, 50));
  longest = 0;
  const began = performance.now();
  shutdown.next();
  const aborted = await done;
  running = false;
  return { took: performance.now() - began, longest, aborted };
}

/** All connections are closed at once, and the time for each does not grow with their number. */
export const teardown: Soak = {
  name: 'all leave at once',
  async run({ quick }): Promise<Finding[]> {
    const count = quick ? 40_000 : 50_000;
    await tearDown(count);
    const large: number[] = [];
    const small: number[] = [];
    const stalls: number[] = [];
    let aborted = 0;
    for (let round = 0; round < 5; round++) {
      const all = await tearDown(count);
      aborted += all.aborted;
      large.push(all.took);
      stalls.push(all.longest);
      small.push((await tearDown(count / 4)).took);
    }
    // The best of each, because a garbage collection in between is not growth. A search through all connections at each close
    // would take sixteen times as long.
    const [took, quarter] = [Math.min(...large), Math.min(...small)];
    return [
      exactly(`aborted, of ${count} in 5 rounds`, aborted, 5 * count),
      atMost(`four times as many take longer by (${count}: ${took.toFixed(0)} ms)`, took / quarter, 8, '×'),
      atMost('the event loop is blocked for, at most', percentiles(stalls).p50, 20, 'ms'),
    ];
  },
};
