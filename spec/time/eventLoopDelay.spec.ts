import { spawnSync } from 'node:child_process';
import type { monitorEventLoopDelay } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { EventLoopDelay } from '../../lib/time/eventLoopDelay.ts';

/** Blocks the event loop, in a process of its own. */
const program = `
import { EventLoopDelay } from ${JSON.stringify(new URL('../../lib/time/eventLoopDelay.ts', import.meta.url).href)};
const loop = new EventLoopDelay();
const before = loop.take();
loop.start();
loop.start();
await new Promise((resolve) => setTimeout(resolve, 100));
const block = performance.now() + 300;
while (performance.now() < block);
await new Promise((resolve) => setTimeout(resolve, 100));
const { p50, p99, max } = loop.take();
const again = loop.take();
loop.stop();
console.log(JSON.stringify({ before, p50, p99, max, again, stopped: loop.take(), time: loop.time }));
// The monitor does not keep the process alive.
loop.start();
`;

it('measures by how much the event loop is late, since the last look', () => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', program],
    {
      encoding: 'utf8',
      timeout: 60_000,
    },
  );
  expect(stderr).toBe('');
  const { before, p50, p99, max, again, stopped, time } = JSON.parse(stdout);
  expect([before, stopped]).toEqual([undefined, undefined]);
  expect(max).toBeGreaterThan(0.2);
  expect(p99).toBeGreaterThan(0.2);
  expect(p50).toBeGreaterThanOrEqual(0);
  expect(p50).toBeLessThanOrEqual(p99);
  expect(again).toBeUndefined();
  expect(time.active).toBeGreaterThan(0.2);
  expect(time.idle).toBeGreaterThan(0);
});

/** What measures, with these intervals between two looks, in milliseconds. */
const measured = (p50: number, p99: number, max: number, count = 1) =>
  (() => ({
    ...{ enable: () => true, disable: () => true, reset: () => undefined, count, max: max * 1e6 },
    percentile: (share: number) => (share === 50 ? p50 : p99) * 1e6,
  })) as unknown as typeof monitorEventLoopDelay;

it('subtracts the time between two looks, in which nothing is late', () => {
  const loop = new EventLoopDelay(measured(19.5, 25, 520));
  loop.start();
  expect(loop.take()).toEqual({ p50: 0, p99: 0.005, max: 0.5 });
  loop.stop();
});

it('reports nothing where nothing was measured, or the engine cannot', () => {
  const early = new EventLoopDelay(measured(0, 0, 0, 0));
  early.start();
  expect(early.take()).toBeUndefined();
  const never = new EventLoopDelay(() => {
    throw new Error('not implemented');
  });
  never.start();
  expect(never.take()).toBeUndefined();
  never.stop();
});
