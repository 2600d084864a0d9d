import { config } from 'rxjs';
import { afterEach, beforeEach } from 'vitest';

/** Collects the errors that RxJS reports as unhandled, in each test of a file. @returns Those of the current test. */
export function collectUnhandled(): unknown[] {
  const unhandled: unknown[] = [];
  beforeEach(() => {
    config.onUnhandledError = (error) => unhandled.push(error);
  });
  afterEach(async () => {
    // RxJS reports these errors from a timer. Timers that are pending already fire before this one.
    await new Promise((resolve) => setTimeout(resolve));
    config.onUnhandledError = null;
    unhandled.length = 0;
  });
  return unhandled;
}
