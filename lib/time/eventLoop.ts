import { AsyncResource } from 'node:async_hooks';
import type { SchedulerLike } from 'rxjs';
import { Queue } from '../queue.ts';
import { fires } from './fires.ts';
import { monotonic } from './monotonic.ts';

/** Milliseconds of one event-loop iteration that all sources of endless work share. */
const TIME_SLICE = 1;

/** A callback for a later iteration, in the async context of its caller. One `setImmediate` runs those of all connections. */
class PendingCallback extends AsyncResource {
  readonly #work: () => void;

  constructor(work: () => void) {
    super('SluiceCallback');
    this.#work = work;
  }

  run(): void {
    this.runInAsyncScope(this.#work);
  }
}

/** The callbacks for the next iteration, or for a later one if there are too many. */
const waiting = new Queue<PendingCallback>();
/** A `setImmediate` is pending that will run. */
let armed = false;
/** When the time slice of this iteration began; `undefined` if it has not begun. */
let sliceStart: number | undefined;

/**
 * Calls back in the next iteration of the event loop, so that every connection that is ready in this one is served first.
 *
 * If many callbacks wait, some of them run in a later iteration. So bytes that arrive meanwhile wait for one time slice, not for
 * all callbacks.
 */
export function nextIteration(clock: SchedulerLike, work: () => void): void {
  if (clock !== monotonic) {
    clock.schedule(work, 0);
    return;
  }
  waiting.push(new PendingCallback(work));
  arm();
}

/**
 * Whether the time slice of this iteration is spent. All sources of endless work, such as endless replies, share it. A source for
 * which it is spent continues in the next iteration. On virtual time an iteration has no duration, so it is never spent.
 */
export function timeSliceIsSpent(clock: SchedulerLike): boolean {
  if (clock !== monotonic) return false;
  const now = performance.now();
  if (sliceStart === undefined) {
    sliceStart = now;
    arm();
    return false;
  }
  // A clock that was set back measures nothing.
  return now - sliceStart >= TIME_SLICE || now < sliceStart;
}

/** Calls back after the event loop has polled once more: what was ready to be read or accepted has been. */
export function afterPoll(clock: SchedulerLike, work: () => void): void {
  nextIteration(clock, () => nextIteration(clock, work));
}

/**
 * Calls back at the end of the current callback of the event loop: in a microtask. On virtual time microtasks run only after all
 * actions that are due, so there it is the next action.
 */
export function endOfCallback(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) microtask(work);
  else clock.schedule(work, 0);
}

/** Calls back in a microtask, by a promise: fake clocks may replace `queueMicrotask`, but not promises. */
export function microtask(work: () => void): void {
  void RESOLVED.then(work);
}

const RESOLVED = Promise.resolve();

/** A second `setImmediate` is harmless, because it finds nothing to do. */
function arm(): void {
  // Set after the call, because the call throws if no stack is left.
  if (!armed) armed = fires(setImmediate(runIteration));
}

function runIteration(): void {
  armed = false;
  sliceStart = undefined;
  if (waiting.size === 0) return;
  // The callbacks count towards the time slice.
  sliceStart = performance.now();
  // Armed before the calls, because one of them may throw. Its error is uncaught in the process, and the others still run.
  arm();
  const until = sliceStart + TIME_SLICE;
  // Callbacks that are added meanwhile are for the next iteration.
  let left = waiting.size;
  do {
    waiting.shift()?.run();
    left--;
    // Checked after a call: each iteration runs at least one, even if the process was suspended for the whole time slice.
    // Otherwise a busy machine might never run any.
  } while (left > 0 && performance.now() < until);
}
