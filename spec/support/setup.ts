import { afterEach, expect } from 'vitest';

/** Files share a process, and load this anew: the process is listened to once. */
const KEY = Symbol.for('sluice.setup');
const shared = globalThis as { [KEY]?: ReturnType<typeof listening> };

function listening() {
  const stray: unknown[] = [];
  process.on('uncaughtException', (error) => stray.push(error));
  process.on('unhandledRejection', (error) => stray.push(error));
  return { stray, timers: timers() };
}

const timers = () => [setTimeout, setInterval, setImmediate];

shared[KEY] ??= listening();
const first = shared[KEY];

/** An error that reaches nobody is a defect wherever it happens: it fails the spec during which it was seen. */
afterEach(() => {
  expect(first.stray.splice(0), 'errors that nobody caught').toEqual([]);
  // Fake ones that were left behind would keep whichever spec comes next waiting.
  expect(timers(), 'timers that are not real').toEqual(first.timers);
});
