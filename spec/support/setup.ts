import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, expect } from 'vitest';
import { reasonToSkip } from './overTls/skipped.ts';

// The report of a run has no causes. So the message of a failed property has to say what failed.
fc.configureGlobal({ includeErrorInReport: true });

/** Spec files share a process, and each loads this module anew. So the listeners of the process are added only once. */
const KEY = Symbol.for('sluice.setup');
const shared = globalThis as { [KEY]?: ReturnType<typeof watch> };

function watch() {
  const stray: unknown[] = [];
  process.on('uncaughtException', (error) => stray.push(error));
  process.on('unhandledRejection', (error) => stray.push(error));
  return { stray, timers: timers() };
}

const timers = () => [setTimeout, setInterval, setImmediate];

shared[KEY] ??= watch();
const first = shared[KEY];

beforeEach(({ task, skip }) => {
  const reason = reasonToSkip(task.file.filepath, task.name);
  if (reason !== undefined) skip(reason);
});

/** An uncaught error is a defect wherever it happens: it fails the spec that runs at that time. */
afterEach(() => {
  expect(first.stray.splice(0), 'errors that were not caught').toEqual([]);
  // Fake timers that a spec leaves behind would block the next spec.
  expect(timers(), 'timers that are not real').toEqual(first.timers);
});

/** RxJS reports such errors from a timer, which does not fire while all specs of a file are on virtual time. */
afterAll(async () => {
  await new Promise((resolve) => setTimeout(resolve, 2));
  expect(first.stray.splice(0), 'errors that nothing caught').toEqual([]);
});
