import { type SchedulerLike, throwError } from 'rxjs';

/**
 * Refuses to wait for a promise in the run of a `TestScheduler`. No promise is resolved before the run is over, so the test would
 * end without a reply and without an error. The error is also reported as unhandled, so that `clock.run()` throws it.
 *
 * @throws Error in such a run.
 */
export function checkCanAwait(clock: SchedulerLike): void {
  // The property is TestScheduler's. Importing the class would load it into every server.
  if ((clock as { runMode?: unknown }).runMode !== true) return;
  const error = cannotAwait('wait for a promise in the run of a TestScheduler');
  throwError(() => error).subscribe();
  throw error;
}

/** The error for a promise that is resolved too late. It names the remedy. */
export const cannotAwait = (what: string): Error =>
  new Error(
    `Cannot ${what}: no promise is resolved in its virtual time. Use new MemoryNetwork() with the fake timers of the test runner, as TESTING.md shows`,
  );
