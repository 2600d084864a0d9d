import { type SchedulerLike, throwError } from 'rxjs';

/**
 * Refuses to wait for a promise in the run of a `TestScheduler`: nothing resolves it before the run is over, and the test would
 * end without a reply and without an error. The error is thrown by `clock.run()`, too.
 *
 * @throws Error in such a run.
 */
export function checkCanAwait(clock: SchedulerLike): void {
  // A property of TestScheduler's; to import the class would load it into every server.
  if ((clock as { runMode?: unknown }).runMode !== true) return;
  const error = cannotAwait('wait for a promise in the run of a TestScheduler');
  throwError(() => error).subscribe();
  throw error;
}

/** Says what to do instead. */
export const cannotAwait = (what: string): Error =>
  new Error(
    `Cannot ${what}: none is resolved in its virtual time. Use new MemoryNetwork() with the fake timers of the test runner, as TESTING.md shows`,
  );
