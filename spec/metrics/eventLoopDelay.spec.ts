import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { EventLoopDelay } from '../../lib/metrics/eventLoopDelay.ts';

/** Blocks the event loop, in a process of its own. */
const program = `
import { EventLoopDelay } from ${JSON.stringify(new URL('../../lib/metrics/eventLoopDelay.ts', import.meta.url).href)};
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

it('reports nothing where the engine cannot measure it', () => {
  const loop = new EventLoopDelay();
  expect(loop.take()).toBeUndefined();
  loop.stop();
});
