import { afterEach, expect } from 'vitest';

/** Files share a process, and load this anew: the process is listened to once. */
const KEY = Symbol.for('sluice.stray');
const shared = globalThis as { [KEY]?: unknown[] };

function listening(): unknown[] {
  const errors: unknown[] = [];
  process.on('uncaughtException', (error) => errors.push(error));
  process.on('unhandledRejection', (error) => errors.push(error));
  return errors;
}

const real = [setTimeout, setInterval, setImmediate];
shared[KEY] ??= listening();
const stray = shared[KEY];

/** An error that reaches nobody is a defect wherever it happens: it fails the spec during which it was seen. */
afterEach(() => {
  expect(stray.splice(0), 'errors that nobody caught').toEqual([]);
  // Fake ones that were left behind would keep whichever spec comes next waiting.
  expect([setTimeout, setInterval, setImmediate], 'timers that are not real').toEqual(real);
});
